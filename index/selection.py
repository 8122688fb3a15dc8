"""Which brands a search looks among, where naming them all would take too long."""


class AllBut[T](frozenset[T]):
    """Everything but its members: the members are what is left out, `in` says what is not.

    A set, so that it goes wherever a choice of brands goes; whoever searches asks for it by
    its type.
    """

    def __contains__(self, one: object) -> bool:
        return not super().__contains__(one)
