"""`/v1/models`: the base models and the fine-tuned ones."""

from collections.abc import Iterator

from fastapi import APIRouter
from starlette.responses import Response

from ftops.engine.api.engine import Engine, EngineDependency
from ftops.engine.api.errors import ApiError
from ftops.engine.api.schema import DeletedObject, JsonObject, ModelList, ModelObject, send_list
from ftops.engine.store import ModelRow

router = APIRouter(prefix="/v1/models", tags=["models"])
_BASES_CREATED_AT = 1577836800  # the API requires a date; base models are code


@router.get("", response_model=ModelList)
def list_models(engine: EngineDependency) -> Response:
    """List base models, then fine-tuned ones, oldest first."""
    return send_list(list(iterate_models(engine)))


def iterate_models(engine: Engine) -> Iterator[JsonObject]:
    """All models in that order."""
    yield from map(_base_document, engine.list_bases())
    yield from map(_tuned_document, engine.store.models.list_finished())


@router.get("/{model}")
def retrieve_model(model: str, engine: EngineDependency) -> ModelObject:
    """Retrieve a model, with what serves it."""
    if model in engine.list_bases():
        document = _base_document(model)
    else:
        document = _tuned_document(get_model(model, engine))
    served_by = engine.model_pool.describe_serving(str(document["root"]))
    return ModelObject(**document, served_by=served_by)


@router.delete("/{model}")
def delete_model(model: str, engine: EngineDependency) -> DeletedObject:
    """Delete a fine-tuned model with its checkpoints; active requests and jobs finish."""
    if model in engine.list_bases():
        message = f"{model!r} is a base model; only fine-tuned models can be deleted."
        raise ApiError(403, message, param="model", code="base_model")
    deleted = engine.store.models.delete(model, at=engine.store.now())
    if not deleted:
        raise _not_found()
    for name in deleted:
        engine.model_pool.evict(name)
    engine.delete_unused_models()
    return DeletedObject(id=model, object="model")


def get_model(name: str, engine: Engine) -> ModelRow:
    """The fine-tuned model of that name, or 404."""
    row = engine.store.models.find(name)
    if row is None:
        raise _not_found()
    return row


def _not_found() -> ApiError:
    """404 that does not repeat the name: it may be a path of this machine."""
    return ApiError(404, "There is no such model.", param="model", code="model_not_found")


def _base_document(name: str) -> JsonObject:
    return _model_document(name, _BASES_CREATED_AT, "ftops", root=name)


def _tuned_document(row: ModelRow) -> JsonObject:
    document = _model_document(row.name, row.created_at, row.owner, root=row.base)
    return document | {"parent": row.parent, "job_id": row.job_id}


def _model_document(name: str, created: int, owned_by: str, *, root: str) -> JsonObject:
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": owned_by,
        "shutdown_date": None,
        "root": root,
        "parent": None,
        "job_id": None,
    }
