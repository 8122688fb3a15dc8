"""The photographs of the demo, out of the wheels of scikit-image and scikit-learn."""

import io
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from PIL import Image

from service.cli.failure import CommandError

_FOLDERS = {"skimage": "skimage.data", "sklearn": "sklearn.datasets.images"}


@dataclass(frozen=True, slots=True)
class Photograph:
    """One picture file of an installed package.

    Attributes:
        id: id of the original when it is registered.
        title: what it shows.
        package: `skimage` or `sklearn`.
        file: its file name there.
        credit: who made it, as the package says.
    """

    id: str
    title: str
    package: str
    file: str
    credit: str

    def read(self) -> bytes:
        """Return the file's bytes.

        Raises:
            CommandError: the package, or the picture in it, is not installed.
        """
        try:
            folder: Traversable = resources.files(_FOLDERS[self.package])
            return folder.joinpath(self.file).read_bytes()
        except (ModuleNotFoundError, FileNotFoundError) as error:
            raise CommandError(
                f"the demo's photograph {self.file} is not installed",
                "pip install -e '.[demo]' (`uv pip` where uv made the environment) in the "
                "project's folder, or use your own pictures with --originals DIR --listings DIR",
            ) from error

    def open(self) -> Image.Image:
        """Return the picture, RGB."""
        return Image.open(io.BytesIO(self.read())).convert("RGB")


COFFEE = Photograph("coffee", "Cup of coffee", "skimage", "coffee.png", "Rachel Michetti, CC0")
MOTORCYCLE = Photograph(
    "motorcycle",
    "Motorcycle",
    "skimage",
    "motorcycle_left.png",
    "Middlebury stereo 2014",
)
MOTORCYCLE_BESIDE = Photograph(
    "motorcycle-beside",
    "The same motorcycle, from 19 cm to the right",
    "skimage",
    "motorcycle_right.png",
    "Middlebury stereo 2014",
)
ASTRONAUT = Photograph("astronaut", "Astronaut", "skimage", "astronaut.png", "NASA")
CAT = Photograph("cat", "Cat", "skimage", "chelsea.png", "Stefan van der Walt, CC0")
ROCKET = Photograph("rocket", "Rocket", "skimage", "rocket.jpg", "SpaceX, public domain")
GRASS = Photograph("grass", "Grass", "skimage", "grass.png", "linolafett, CC0")
GRAVEL = Photograph("gravel", "Gravel", "skimage", "gravel.png", "CC0Textures, CC0")
BRICK = Photograph("brick", "Brick wall", "skimage", "brick.png", "CC0Textures, CC0")
CAMERA = Photograph("camera", "Photographer", "skimage", "camera.png", "Lav Varshney, CC0")
COINS = Photograph("coins", "Coins", "skimage", "coins.png", "Brooklyn Museum")
MOON = Photograph("moon", "Surface of the moon", "skimage", "moon.png", "in scikit-image")
RETINA = Photograph("retina", "Retina", "skimage", "retina.jpg", "Mikael Häggström, CC0")
GALAXIES = Photograph("galaxies", "Galaxies", "skimage", "hubble_deep_field.jpg", "NASA")
PAGODA = Photograph("pagoda", "Pagoda", "sklearn", "china.jpg", "danielbuechele, CC BY 2.0")
DAHLIA = Photograph("dahlia", "Dahlia", "sklearn", "flower.jpg", "vultilion, CC BY 2.0")

BRANDS = {
    "north-house": (COFFEE, MOTORCYCLE, CAT, DAHLIA),
    "harbour-press": (ASTRONAUT, PAGODA, ROCKET, GRASS, COINS),
}
"""What is registered: brand id -> its originals."""

SHOWN = (
    *(photo for photographs in BRANDS.values() for photo in photographs),
    *(MOTORCYCLE_BESIDE, GRAVEL, BRICK, CAMERA, MOON, RETINA, GALAXIES),
)
"""Every photograph that the page may show, for its credits."""
