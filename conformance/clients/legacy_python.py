"""openai 0.28.1: the Python forms of the legacy protocol."""

from dataclasses import replace

from conformance.base_model import BASE_MODEL, add_base_model
from conformance.clients.legacy import environment, install
from conformance.operation import Client, Operation, OperationContext, Output, ensure
from conformance.rows import as_lines, sentences, yes_or_no

_BEGIN = """
import json, openai, os, sys
openai.organization = 'org-acme'
BASE = os.environ['BASE_MODEL']
"""


def _python(context: OperationContext, code: str, *arguments: str) -> Output:
    """Run a piece of Python with the client at hand; its arguments are in `sys.argv`."""
    return context.run(context.tool / "python", "-c", _BEGIN + code, *arguments)


def _create_file(context: OperationContext) -> None:
    context.write("train.jsonl", as_lines(sentences(240)))
    code = "print(openai.File.create(file=open('train.jsonl', 'rb'), purpose='fine-tune').id)"
    context.kept["file"] = _python(context, code).expect("file-").out.strip()


def _create(context: OperationContext) -> None:
    code = """
job = openai.FineTune.create(training_file=sys.argv[1], model=BASE, suffix='colours',
                             n_epochs=4, batch_size=2)
assert job.status == 'pending' and job.object == 'fine-tune', job
assert job.organization_id == 'org-acme', job
print(job.id)
"""
    context.kept["job"] = _python(context, code, context.get("file")).expect("ft-").out.strip()


def _stream(context: OperationContext) -> None:
    code = """
for event in openai.FineTune.stream_events(sys.argv[1]):
    print(event.message)
"""
    done = _python(context, code, context.get("job"))
    done.expect("Created fine-tune", "Completed epoch 4/4", "Fine-tune succeeded")


def _retrieve(context: OperationContext) -> None:
    code = """
job = openai.FineTune.retrieve(id=sys.argv[1])
assert job.status == 'succeeded', job
assert job.id in [other.id for other in openai.FineTune.list().data]
events = openai.FineTune.list_events(id=sys.argv[1])
assert events.data[-1].message == 'Fine-tune succeeded', events
print(openai.File.download(job.result_files[0].id).decode())
print(job.fine_tuned_model)
"""
    done = _python(context, code, context.get("job")).expect("step,elapsed_tokens,elapsed_examples")
    context.kept["model"] = done.out.split()[-1]
    name = context.kept["model"]
    expected = f"{context.base_model}:ft-org-acme:colours-20"
    ensure(name.startswith(expected), f"the model is {name}")


def _complete_by_engine(context: OperationContext) -> None:
    code = """
answer = openai.Completion.create(engine=sys.argv[1], prompt='The hat number 9 is red ->',
                                  max_tokens=8, temperature=0, logprobs=1)
choice = answer.choices[0]
assert ''.join(choice.logprobs.tokens) == choice.text, choice
"""
    _python(context, code, context.get("model")).expect()


def _complete_by_model(context: OperationContext) -> None:
    code = """
ask = dict(prompt=['The cup is blue ->', 'The cup is green ->'], max_tokens=8, temperature=0)
whole = openai.Completion.create(model=sys.argv[1], **ask)
pieces = ['', '']
for part in openai.Completion.create(model=sys.argv[1], stream=True, **ask):
    pieces[part.choices[0].index] += part.choices[0].text
assert [choice.text for choice in whole.choices] == pieces, (whole, pieces)
"""
    _python(context, code, context.get("model")).expect()


def _binary(context: OperationContext) -> None:
    context.write("train2.jsonl", as_lines(yes_or_no(90)))
    context.write("valid2.jsonl", as_lines(yes_or_no(30)))
    code = """
files = [openai.File.create(file=open(name, 'rb'), purpose='fine-tune').id for name in sys.argv[1:]]
job = openai.FineTune.create(training_file=files[0], validation_file=files[1], model=BASE,
    compute_classification_metrics=True, classification_positive_class=' yes',
    classification_betas=[1.0, 2.0])
for event in openai.FineTune.stream_events(job.id):
    print(event.message)
"""
    _python(context, code, "train2.jsonl", "valid2.jsonl").expect("Fine-tune succeeded")


def _cancel(context: OperationContext) -> None:
    code = """
job = openai.FineTune.create(training_file=sys.argv[1], model=BASE)
print(openai.FineTune.cancel(id=job.id).status)
try:
    openai.FineTune.cancel(id=job.id)
except openai.error.InvalidRequestError as error:
    print(error.http_status, error.user_message)
"""
    _python(context, code, context.get("file")).expect("cancelled", "400", "is already cancelled")


def _errors(context: OperationContext) -> None:
    code = """
for attempt in (
    lambda: openai.FineTune.retrieve(id='ft-none'),
    lambda: openai.FineTune.create(training_file='file-none'),
    lambda: openai.FineTune.create(training_file=sys.argv[1], n_epochs=0),
    lambda: openai.Completion.create(model='ada', prompt='a'),
):
    try:
        attempt()
    except openai.error.InvalidRequestError as error:
        print(error.http_status, error.param)
openai.api_key = 'wrong'
try:
    openai.FineTune.list()
except openai.error.AuthenticationError as error:
    print(error.http_status)
"""
    done = _python(context, code, context.get("file")).expect()
    expected = ["404 id", "400 training_file", "400 n_epochs", "400 model", "401"]
    ensure(done.out.splitlines() == expected, f"printed was {done.out!r}")


def _delete_model(context: OperationContext) -> None:
    code = """
assert openai.Model.delete(sys.argv[1]).deleted
assert sys.argv[1] not in [model.id for model in openai.Model.list().data]
assert openai.Engine.list().data[0].object == 'engine'
"""
    _python(context, code, context.get("model")).expect()


CLIENT = Client(
    name="legacy-python",
    title="openai 0.28.1, Python",
    install=install,
    environment=environment,
    operations=(
        Operation("File.create", _create_file),
        Operation("FineTune.create, with an organization", _create),
        Operation("FineTune.stream_events", _stream),
        Operation("FineTune.retrieve, list, list_events; File.download", _retrieve),
        Operation("Completion.create(engine=…)", _complete_by_engine),
        Operation("Completion.create(model=…), plain and streamed", _complete_by_model),
        Operation("FineTune.create, two classes", _binary),
        Operation("FineTune.cancel", _cancel),
        Operation("errors and exception classes", _errors),
        Operation("Model.list, Model.delete, Engine.list", _delete_model),
    ),
)
LORA = replace(
    CLIENT,
    name="legacy-python-lora",
    title="openai 0.28.1, Python, with the trainer lora",
    prepare=add_base_model,
    base_model=BASE_MODEL,
)
