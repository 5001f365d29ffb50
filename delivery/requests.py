"""Reads the pictures of a request: JSON, one file as the body, or several files as a form."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartParser

from delivery.contract import PredictRequest
from delivery.images import PictureError, PictureSizeError, picture
from delivery.protection import TooLargeError
from delivery.settings import DeliveryParams

JSON, FORM = "application/json", "multipart/form-data"
PICTURES = ("image/png", "image/jpeg")
# Three times what an image takes as JSON with one number a line: what is larger is not worth being read.
_JSON_BYTES_IMAGE = 32_768
# Of a form, after which its last boundary is not looked for: 70 letters at most, a line end, a client's remarks.
_EPILOGUE = 1000
# Findings of one request that are worth a list. Only unknown keys can be more, and then they are hundreds of thousands.
_FINDINGS = 100


class Reader:
    """Turns requests into images, a byte a pixel.

    Args:
        params: limits of pictures and bytes.
    """

    def __init__(self, params: DeliveryParams) -> None:
        self._params = params
        # One at a time: a picture of the largest size takes two hundred megabytes while it is decoded.
        self._decoder = ThreadPoolExecutor(1, "pictures")
        # Files of a form stay in memory, whose use is limited; the disk may be read-only.
        MultiPartParser.spool_max_size = params.max_request_bytes
        # What is wrong in a form is told to its sender; a line of ours for each would fill a disk.
        logging.getLogger("python_multipart").setLevel(logging.ERROR)

    def close(self) -> None:
        """Stop decoding."""
        self._decoder.shutdown()

    async def pictures(self, request: Request) -> list[bytes]:
        """The images of a request, a byte a pixel.

        Raises:
            HTTPException: 400 an unreadable form, 413 too large, 415 another type.
            RequestValidationError: not what the type promises, or too many images.
        """
        kind = media_type(request)
        if (coding := request.headers.get("content-encoding", "identity").lower()) != "identity":
            raise HTTPException(415, f"content-encoding {coding}; expected none")
        if kind == JSON:
            return self._from_json(await request.body())
        if kind in PICTURES:
            return [await self._decoded(await request.body(), ("body",))]
        if kind == FORM:
            return await self._from_form(request)
        raise HTTPException(415, f"content-type {kind or 'missing'}; expected {', '.join((JSON, *PICTURES, FORM))}")

    def _from_json(self, body: bytes) -> list[bytes]:
        limit = self._params.max_batch * _JSON_BYTES_IMAGE
        if len(body) > limit:
            raise TooLargeError(limit)
        try:
            images = PredictRequest.model_validate_json(body).pictures()
        except ValidationError as error:
            if error.error_count() > _FINDINGS:
                raise _wrong(("body",), f"{error.error_count()} unknown keys") from None
            raise RequestValidationError(
                [
                    {**finding, "loc": ("body", *finding["loc"])}
                    for finding in error.errors(include_url=False, include_context=False, include_input=False)
                ]
            ) from None
        self._check(len(images), "images")
        return images

    async def _from_form(self, request: Request) -> list[bytes]:
        boundary = parse_options_header(request.headers["content-type"])[1].get(b"boundary", b"")
        if b"--%b--" % boundary not in (await request.body())[-_EPILOGUE:]:
            raise _wrong(("body",), "the form is not complete: its last boundary is missing")
        async with request.form(max_files=self._params.max_batch, max_fields=1) as form:
            files = [item for name, item in form.multi_items() if name == "image" and isinstance(item, UploadFile)]
            if len(files) != len(form.multi_items()):
                raise _wrong(("body",), "every part of the form has to be a file named `image`")
            self._check(len(files), "image")
            return [await self._decoded(await file.read(), ("body", "image", i)) for i, file in enumerate(files)]

    def _check(self, count: int, name: str) -> None:
        if not 1 <= count <= self._params.max_batch:
            raise _wrong(("body", name), f"{count} images; from 1 to {self._params.max_batch} are allowed")

    async def _decoded(self, content: bytes, where: tuple[str | int, ...]) -> bytes:
        decode = asyncio.get_running_loop().run_in_executor
        try:
            return (await decode(self._decoder, picture, content, self._params.max_picture_pixels)).tobytes()
        except PictureSizeError as error:
            raise HTTPException(413, str(error)) from None
        except PictureError as error:
            raise _wrong(where, str(error)) from None

    def documentation(self) -> dict[str, Any]:
        """What a request may hold, for OpenAPI."""
        schema = PredictRequest.model_json_schema()
        schema["properties"]["images"]["maxItems"] = self._params.max_batch
        file = {"type": "string", "format": "binary"}
        files = {"type": "array", "items": file, "minItems": 1, "maxItems": self._params.max_batch}
        form = {"type": "object", "properties": {"image": files}, "required": ["image"], "additionalProperties": False}
        content = {JSON: {"schema": schema}, **{kind: {"schema": file} for kind in PICTURES}, FORM: {"schema": form}}
        return {"required": True, "content": content}


def media_type(request: Request) -> str:
    """What a request says that its body is, without parameters; empty if nothing."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _wrong(where: tuple[str | int, ...], what: str) -> RequestValidationError:
    return RequestValidationError([{"type": "picture", "loc": where, "msg": what}])
