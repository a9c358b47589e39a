"""`/v1/engines`: the earlier API of models, and completions with the model in the path."""

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from ftops.engine.api.completions import (
    ANSWERS,
    CreateCompletion,
    CreateEngineCompletion,
    create_completion,
)
from ftops.engine.api.engine import EngineDependency
from ftops.engine.api.models import iterate_models, retrieve_model
from ftops.engine.api.routing import JsonRoute
from ftops.engine.api.schema import EngineList, EngineObject, JsonObject, send_list

router = APIRouter(prefix="/v1/engines", tags=["engines"], route_class=JsonRoute)


@router.get("", response_model=EngineList)
def list_engines(engine: EngineDependency) -> Response:
    """List all models."""
    return send_list([_engine_document(model) for model in iterate_models(engine)])


@router.get("/{engine_id}")
def retrieve_engine(engine_id: str, engine: EngineDependency) -> EngineObject:
    """Retrieve a model."""
    return EngineObject(**_engine_document(retrieve_model(engine_id, engine).model_dump()))


@router.post("/{engine_id}/completions", response_model=None, responses=ANSWERS)
async def create_engine_completion(
    engine_id: Annotated[str, Path(max_length=256)],
    body: CreateEngineCompletion,
    engine: EngineDependency,
) -> Response:
    """See `/v1/completions`; the model is in the path."""
    values = body.model_dump(exclude_unset=True) | {"model": engine_id}
    return await create_completion(CreateCompletion(**values), engine)


def _engine_document(model: JsonObject) -> JsonObject:
    return {
        "id": model["id"],
        "object": "engine",
        "created": model["created"],
        "owner": model["owned_by"],
        "permissions": None,
        "ready": True,
    }
