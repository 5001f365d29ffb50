"""What the service takes and gives, as JSON: validated by pydantic, documented by FastAPI."""

from itertools import chain
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from delivery.log import Feedback

SIDE = 28
PIXELS = SIDE * SIDE


def _as_bytes(rows: list[list[int]]) -> bytes:
    try:
        return bytes(chain.from_iterable(rows))
    except ValueError:
        raise ValueError("a pixel is below 0 or above 255") from None


# The range is checked while the rows become bytes, at a fifth of what pydantic takes for it.
_Pixel = Annotated[int, Field(strict=True), WithJsonSchema({"type": "integer", "minimum": 0, "maximum": 255})]
_Row = Annotated[list[_Pixel], Field(min_length=SIDE, max_length=SIDE, fail_fast=True)]
Image = Annotated[list[_Row], Field(min_length=SIDE, max_length=SIDE, fail_fast=True), AfterValidator(_as_bytes)]
Label = Annotated[int, Field(strict=True, ge=0, le=9)]


class PredictRequest(BaseModel):
    """One image or several, as rows of grey levels: 0 is background, 255 is ink. They are scored as they are."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"oneOf": [{"required": ["image"]}, {"required": ["images"]}]}
    )

    image: Image = Field(default=None)
    images: Annotated[list[Image], Field(min_length=1, fail_fast=True)] = Field(default=None)

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.image is None) == (self.images is None):
            raise ValueError("expected either `image` or `images`")
        return self

    def pictures(self) -> list[bytes]:
        """784 bytes an image."""
        return [self.image] if self.image is not None else self.images or []  # type: ignore[list-item, return-value]


class Prediction(BaseModel):
    """What one image shows."""

    id: str = Field(description="name it when you send the true label")
    label: int = Field(description="the most probable digit")
    probabilities: list[float] = Field(description="of the digits 0 to 9", min_length=10, max_length=10)


class Predictions(BaseModel):
    """What each image shows, in the order of the images."""

    version: str = Field(description="of the model that answered")
    predictions: list[Prediction]


class FeedbackRequest(BaseModel):
    """The true label of an image that was predicted before."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, StringConstraints(pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
    label: Label
    source: Annotated[str, StringConstraints(pattern="^[A-Za-z0-9._-]{1,64}$")] = Field(
        "anonymous", description="who says so"
    )
    correct: bool = Field(False, description="replace another label that is on record", strict=True)


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
    smoke: dict[str, Any] | None = Field(None, description="how that version's smoke test went when it was loaded")
    reason: str | None = Field(None, description="why it is not ready")


class Reloaded(BaseModel):
    """The version that answers from now on; no answer of an older one comes after this one."""

    version: str
    commit: str | None


class Problem(BaseModel):
    """What was wrong."""

    detail: str
