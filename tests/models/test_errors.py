"""Every error that leaves this part says its reason in the words of its name."""

import inspect
from types import ModuleType

import pytest

from models import batcher, clip, encoders, images, refusals, sscd, waiting, weights

MODULES = (batcher, clip, encoders, images, refusals, sscd, waiting, weights)


def errors_of(module: ModuleType) -> list[type[Exception]]:
    classes = [c for _, c in inspect.getmembers(module, inspect.isclass)]
    return [c for c in classes if issubclass(c, Exception) and c.__module__ == module.__name__]


ERRORS = [error for module in MODULES for error in errors_of(module)]


def test_all_errors_are_found() -> None:
    assert {error.__name__ for error in ERRORS} == {
        "BatcherStopped",
        "DeadlineExpired",
        "EncoderUnavailable",
        "EncodingFailed",
        "ImageEmpty",
        "ImageFeatureless",
        "ImageTooLarge",
        "ImageTooSmall",
        "ImageTruncated",
        "ImageUndecodable",
        "QueueFull",
        "WeightsNotFetched",
    }


@pytest.mark.parametrize("error", ERRORS)
def test_the_reason_is_the_name_in_upper_snake(error: type[Exception]) -> None:
    words = "".join(f"_{c}" if c.isupper() else c.upper() for c in error.__name__)
    assert error.__dict__["reason"] == words.lstrip("_")
    assert issubclass(error, ValueError | LookupError | RuntimeError)
    assert error.__doc__
