"""TIFF and BigTIFF files: their IFDs are the container."""

from models.labels.exif import IIM_TAG, IRB_TAG, XMP_TAG, read_tiff
from models.labels.iim import read_iim, read_resources
from models.labels.survey import Survey
from models.labels.xmp import read_xmp


def walk(data: bytes, survey: Survey) -> None:
    """Read the metadata tags of a TIFF file's pages."""
    read_tiff(
        data,
        "TIFF",
        survey,
        {XMP_TAG: read_xmp, IIM_TAG: read_iim, IRB_TAG: read_resources},
    )
