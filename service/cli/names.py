"""Resource names as people write them: `brand/id`, or the full name."""

from service.cli.failure import CommandError


def full_name(name: str, collection: str) -> str:
    """Return the resource name of `brand/id`, such as `brands/acme/licences/summer`.

    Args:
        collection: what is named, such as `licences`.

    Raises:
        CommandError: it is neither that nor a resource name.
    """
    parts = name.strip("/").split("/")
    if len(parts) == 2 and all(parts):
        return f"brands/{parts[0]}/{collection}/{parts[1]}"
    if len(parts) == 4 and parts[0] == "brands" and parts[2] == collection:
        return name.strip("/")
    one = collection.removesuffix("s")
    raise CommandError(f"'{name}' names no {one}", f"write brand/{one}, as `list` prints it")


def name_within(brand: str, name: str, collection: str) -> str:
    """Return the resource name of something of a brand, given as `id` or as `full_name` takes it.

    Raises:
        CommandError: it is another brand's.
    """
    full = full_name(name if "/" in name else f"{brand}/{name}", collection)
    if not full.startswith(f"brands/{brand}/"):
        one = collection.removesuffix("s")
        raise CommandError(
            f"'{name}' is of another brand than {brand}", f"name the {one}'s own with --brand"
        )
    return full


def short_sweep(name: str) -> str:
    """Return `id` of a sweep's resource name, or `brand/id` of one that belongs to a brand."""
    return name.removeprefix("sweeps/").removeprefix("brands/").replace("/sweeps/", "/")


def full_sweep(sweep_id: str) -> str:
    """The resource name of `id` or `brand/id`."""
    brand, slash, own = short_sweep(sweep_id).partition("/")
    return f"brands/{brand}/sweeps/{own}" if slash else f"sweeps/{brand}"


def short_name(name: str) -> str:
    """Return `brand/id` of a resource name."""
    parts = name.split("/")
    return f"{parts[1]}/{parts[3]}"
