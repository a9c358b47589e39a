"""A model as it is asked on the command line: with the marks of the rows that it has learned."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ftops.cli.environment import open_ledger
from ftops.cli.factory import find_chosen_provider, open_providers
from ftops.cli.named import NamedModel, find_named_model, near_names_shown
from ftops.data.plans.inference import find_labels, find_marks, prepare_question
from ftops.errors import DatasetError
from ftops.providers.provider import Provider
from ftops.records import Message, Prompt, RowFormat


@dataclass(frozen=True, slots=True)
class Addressee:
    """A model at its provider; `raw` leaves questions and answers alone."""

    named: NamedModel
    source: Provider
    raw: bool = False

    @property
    def name(self) -> str:
        return self.named.name

    @property
    def takes_chats(self) -> bool:
        """Whether it is asked by messages, so that it can be told what was said before."""
        tuned = self.named.tuned
        shape = tuned.row_format if tuned else self.source.row_format(self.name)
        return shape is not RowFormat.COMPLETION

    def choose_stop(self, given: list[str] | None) -> tuple[str, ...]:
        """What ends an answer: what the user says, else what ended the rows' completions."""
        tuned = self.named.tuned
        own = (tuned.stop,) if tuned and tuned.stop and not self.raw else ()
        return tuple(given or ()) or own

    def find_labels(self) -> Mapping[str, str]:
        """What answers stand for, where numbers stand for labels."""
        return find_labels(None if self.raw else self.named.plan)

    def find_system(self) -> str | None:
        """The system message of the rows."""
        run = self.named.run
        prepare = run.spec.get("prepare") if run and not self.raw else None
        system = prepare.get("system") if isinstance(prepare, Mapping) else None
        return system if isinstance(system, str) else None

    def make_prompt(self, asked: Prompt) -> Prompt:
        """The question in the shape of the model's training rows.

        DatasetError for a chat that a model of completions cannot be asked.
        """
        if not isinstance(asked, str):
            return self._make_chat(asked)
        if self.takes_chats:
            return self._make_chat((Message("user", self._prepare(asked)),))
        text = self._prepare(asked)
        tuned = self.named.tuned
        if self.raw or tuned is None or text.endswith(tuned.separator):
            return text
        return text + tuned.separator

    def make_turn(self, text: str) -> Message:
        """What a user says in a chat, as the rows said it."""
        return Message("user", self._prepare(text))

    def _prepare(self, text: str) -> str:
        plan = self.named.plan
        if plan is None or self.raw:
            return text
        text = prepare_question(plan, text)
        return text.removesuffix(find_marks(plan)[0]) if self.takes_chats else text

    def _make_chat(self, messages: tuple[Message, ...]) -> Prompt:
        if not self.takes_chats:
            raise DatasetError(
                f"the rows are chats, and {self.name} goes on from a text",
                hint="Give rows with a prompt, or name a chat model.",
            )
        system = self.find_system()
        if system is None or any(one.role in ("system", "developer") for one in messages):
            return messages
        return (Message("system", system), *messages)


@contextlib.contextmanager
def open_addressees(
    refs: Sequence[str],
    provider: str | None,
    base_url: str | None,
    api_key_env: str | None,
    *,
    raw: bool = False,
) -> Iterator[list[Addressee]]:
    """The models that the user names, ready to be asked; NotFound for one that was deleted."""
    asked = find_chosen_provider(provider, base_url, api_key_env)
    with open_ledger() as ledger:
        named = [find_named_model(ledger, ref, asked) for ref in refs]
    for one in named:
        one.check_there()
    with open_providers(typed=asked) as open_one:
        sources = {settings: open_one(settings) for settings in {one.provider for one in named}}
        with near_names_shown(named):
            yield [Addressee(one, sources[one.provider], raw) for one in named]
