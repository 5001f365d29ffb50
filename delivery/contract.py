"""What the service takes and gives, as JSON: validated by pydantic, documented by FastAPI."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, StringConstraints, model_validator
from pydantic_core import core_schema

from delivery.log import Feedback
from digits.dataset import CLASSES, IMAGE_SIZE


class _Rows:
    """Rows of grey levels in JSON, 28 of 28; as many bytes in Python."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        def square(items: core_schema.CoreSchema) -> core_schema.CoreSchema:
            return core_schema.list_schema(items, min_length=IMAGE_SIZE, max_length=IMAGE_SIZE, fail_fast=True)

        rows = square(square(core_schema.int_schema(strict=True)))
        return core_schema.no_info_after_validator_function(cls._as_bytes, rows)

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: Any, _handler: Any) -> dict[str, Any]:
        size = {"type": "array", "minItems": IMAGE_SIZE, "maxItems": IMAGE_SIZE}
        return {**size, "items": {**size, "items": {"type": "integer", "minimum": 0, "maximum": 255}}}

    @staticmethod
    def _as_bytes(rows: list[list[int]]) -> bytes:
        try:  # which checks the range at a fifth of what pydantic takes for it
            return b"".join(map(bytes, rows))
        except ValueError:
            row, column = next(
                (r, c) for r in range(IMAGE_SIZE) for c in range(IMAGE_SIZE) if not 0 <= rows[r][c] <= 255
            )
            raise ValueError(f"the pixel in row {row}, column {column} is below 0 or above 255") from None


Image = Annotated[bytes, _Rows]


def as_rows(image: bytes) -> list[list[int]]:
    """Rows of grey levels, as JSON has them."""
    return [list(image[start : start + IMAGE_SIZE]) for start in range(0, len(image), IMAGE_SIZE)]


def _either(schema: dict[str, Any]) -> None:
    schema["oneOf"] = [{"required": ["image"]}, {"required": ["images"]}]
    for field in schema["properties"].values():
        del field["default"]  # which stands for "not given"


class PredictRequest(BaseModel):
    """One image or several, as rows of grey levels: 0 is background, 255 is ink. They are scored as they are."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_either)

    image: Image = b""
    images: Annotated[list[Image], Field(min_length=1, fail_fast=True)] = []

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if bool(self.image) == bool(self.images):
            raise ValueError("expected either `image` or `images`")
        return self

    def pictures(self) -> list[bytes]:
        """A byte a pixel, image by image."""
        return [self.image] if self.image else self.images


class Prediction(BaseModel):
    """What one image shows."""

    id: str = Field(description="name it when you send the true label")
    label: int = Field(description="the most probable class")
    probabilities: list[float] = Field(
        description="of each class, in their order", min_length=CLASSES, max_length=CLASSES
    )
    image: list[list[int]] | None = Field(
        default=None, description="what was scored: where a picture was sent, that picture in MNIST's form"
    )


class Predictions(BaseModel):
    """What each image shows, in the order of the images."""

    version: str = Field(description="of the model that answered")
    predictions: list[Prediction]


Label = Annotated[int, Field(strict=True, ge=0, le=CLASSES - 1)]


class FeedbackRequest(BaseModel):
    """The true label of an image that was predicted before."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, StringConstraints(pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
    label: Label
    source: Annotated[str, StringConstraints(pattern="^[A-Za-z0-9._-]{1,64}$")] = Field(
        default="anonymous", description="who says so"
    )
    correct: bool = Field(default=False, description="replace another label that is on record", strict=True)


class FeedbackAnswer(BaseModel):
    """What became of it: stored, same (as before) or corrected; and the label that is on record now."""

    status: Feedback
    label: int


class Readiness(BaseModel):
    """Whether predictions are answered, and by which version."""

    ready: bool
    stage: str
    version: str | None = None
    commit: str | None = None
    smoke: dict[str, Any] | None = Field(
        default=None, description="how that version's smoke test went when it was loaded"
    )
    reason: str | None = Field(default=None, description="why it is not ready")


class Reloaded(BaseModel):
    """The version that answers from now on; no answer of an older one comes after this one."""

    version: str
    commit: str | None


class Problem(BaseModel):
    """What was wrong."""

    detail: str


class Finding(BaseModel):
    """What was wrong in one place of a request."""

    loc: list[str | int] = Field(description="where, from the outside in")
    msg: str
    type: str


class Invalid(BaseModel):
    """What was wrong in a request: the first few findings."""

    detail: list[Finding]
