"""`/v1/models`: the base models that can be tuned, and what was made of them."""

from fastapi import APIRouter

from ftops.engine.api.engine import Engine, TheEngine
from ftops.engine.api.failures import ApiError, not_found
from ftops.engine.api.wire import Deleted, ModelList, ModelObject
from ftops.engine.store import ModelRow

router = APIRouter(prefix="/v1/models", tags=["models"])
_BASES_MADE_AT = 1577836800  # a date must be given; the bases are code, not files


@router.get("")
def list_models(engine: TheEngine) -> ModelList:
    """Base models first, then fine-tuned ones in the order of their making."""
    bases = [_base_object(name) for name in engine.list_bases()]
    return ModelList(data=[*bases, *(_tuned_object(row) for row in engine.store.models.all())])


@router.get("/{model}")
def retrieve_model(model: str, engine: TheEngine) -> ModelObject:
    """One model."""
    if model in engine.list_bases():
        return _base_object(model)
    return _tuned_object(get_model(model, engine))


@router.delete("/{model}")
def delete_model(model: str, engine: TheEngine) -> Deleted:
    """Delete a fine-tuned model, with its checkpoints; what uses it now ends undisturbed."""
    if model in engine.list_bases():
        message = f"{model!r} is a base model; only fine-tuned models can be deleted."
        raise ApiError(403, message, param="model", code="base_model")
    deleted = engine.store.models.delete(model, at=engine.store.now())
    if not deleted:
        raise not_found("model", model, param="model", code="model_not_found")
    for name in deleted:
        engine.generation.forget(name)
    engine.sweep_models()
    return Deleted(id=model, object="model")


def get_model(name: str, engine: Engine) -> ModelRow:
    """The fine-tuned model of that name, or 404."""
    row = engine.store.models.find(name)
    if row is None:
        raise not_found("model", name, param="model", code="model_not_found")
    return row


def _base_object(name: str) -> ModelObject:
    return ModelObject(id=name, created=_BASES_MADE_AT, owned_by="ftops", root=name)


def _tuned_object(row: ModelRow) -> ModelObject:
    return ModelObject(
        id=row.name,
        created=row.created_at,
        owned_by=row.owner,
        root=row.base,
        parent=row.parent,
        job_id=row.job_id,
    )
