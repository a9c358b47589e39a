"""`ftops chat`: a conversation with a model, or with several at once."""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from ftops.cli.command import command
from ftops.cli.complete import (
    MaxTokens,
    ModelRefs,
    Raw,
    Seed,
    Stop,
    Temperature,
    TopP,
    describe_answer,
    remark_refused,
)
from ftops.cli.options import ApiKeyEnv, BaseUrl, ProviderName
from ftops.cli.output import Mode, Output
from ftops.cli.target_model import Addressee, open_addressees
from ftops.errors import FtopsError
from ftops.records import Json, Message, Prompt, Sampling

_HELP = "/quit ends it, /reset forgets what was said, /system TEXT sets the system message"


@command(
    "chat",
    examples=[
        "ftops chat -m household-faq",
        "ftops chat -m household-faq -m gpt-4.1 --provider openai",
        "ftops chat -m household-faq < questions.txt",
    ],
)
def chat(
    out: Output,
    model: ModelRefs,
    max_tokens: MaxTokens = 512,
    temperature: Temperature = 0.0,
    top_p: TopP = 1.0,
    stop: Stop = None,
    seed: Seed = None,
    raw: Raw = False,
    provider: ProviderName = None,
    base_url: BaseUrl = None,
    api_key_env: ApiKeyEnv = None,
) -> None:
    """Talk with a model, line by line.

    Several models answer each line one after the other. A chat model hears all that was said
    before. A model that goes on from a text does not: there each line stands alone, made ready as
    the rows were that the model has learned. /quit, /reset and /system TEXT are for ftops itself.
    Lines come from standard input where it is no terminal.
    """
    with open_addressees(model, provider, base_url, api_key_env, raw=raw) as addressees:
        partners = [
            _Partner(
                one,
                Sampling(max_tokens, temperature, top_p, one.choose_stop(stop), seed),
                one.find_system(),
            )
            for one in addressees
        ]
        _Talk(out, partners).hold()


@dataclass(slots=True)
class _Partner:
    """A model, and what was said between it and the user."""

    addressee: Addressee
    sampling: Sampling
    system: str | None
    said: list[Message] = field(default_factory=list)
    has_noted: bool = False  # that it refuses parameters

    def ask(self, text: str) -> Iterator[str]:
        """The answer, piece by piece; it is remembered once it is whole."""
        addressee = self.addressee
        prompt: Prompt
        if addressee.takes_chats:
            turn = addressee.make_turn(text)
            first = (Message("system", self.system),) if self.system else ()
            prompt = (*first, *self.said, turn)
        else:
            prompt = addressee.make_prompt(text)
        answer = ""
        for piece in addressee.source.stream(addressee.name, prompt, self.sampling):
            answer += piece
            yield piece
        if addressee.takes_chats:
            self.said += [turn, Message("assistant", answer)]


class _Talk:
    """The conversation; in the JSON mode it is told as a whole at its end."""

    def __init__(self, out: Output, partners: list[_Partner]) -> None:
        self._out = out
        self._partners = partners
        self._turns: list[Json] = []
        self._is_live = sys.stdin.isatty()

    def hold(self) -> None:
        """Until the user ends it."""
        self._say_who_forgets()
        if self._is_live:
            self._out.remark(_HELP)
        for line in self._read_lines():
            if line.startswith("/"):
                if not self._obey(line):
                    break
            elif line.strip():
                self._answer(line)
        if self._out.mode is Mode.JSON:
            self._out.finish(self._turns, essential=(), human=tuple)

    def _say_who_forgets(self) -> None:
        for partner in self._partners:
            if not partner.addressee.takes_chats:
                self._out.remark(
                    f"{partner.addressee.name} goes on from a text: each line stands alone, and"
                    " nothing of what was said before is sent with it"
                )

    def _read_lines(self) -> Iterator[str]:
        """What the user types, or the lines of standard input."""
        if not self._is_live:
            for line in sys.stdin.buffer:
                yield line.decode("utf-8", "replace").rstrip("\r\n")
            return
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 - the arrow keys work in `input` once it is there
        while True:
            try:
                yield input("> ")
            except EOFError:
                self._out.remark("")
                return

    def _obey(self, line: str) -> bool:
        """Do what `/…` says; False when the conversation is over."""
        word, _, rest = line.partition(" ")
        if word in ("/quit", "/exit"):
            return False
        if word == "/reset":
            for partner in self._partners:
                partner.said.clear()
            self._out.remark("forgotten: the next line begins anew")
        elif word == "/system":
            for partner in self._partners:
                partner.system = rest.strip() or None
                partner.said.clear()
            self._out.remark("the next line begins anew, with that system message")
        else:
            self._out.remark(f"there is no {word}: {_HELP}")
        return True

    def _answer(self, text: str) -> None:
        answers: list[Json] = []
        self._turns.append({"text": text, "answers": answers})
        for number, partner in enumerate(self._partners):
            if len(self._partners) > 1 and self._out.mode is Mode.HUMAN:
                self._out.write("\n" * bool(number) + f"{partner.addressee.name}:\n")
            self._answer_one(partner, text, answers)

    def _note_refused(self, partner: _Partner) -> None:
        """Say once which parameters the model has refused."""
        if not partner.has_noted and partner.addressee.source.get_refused_parameters(
            partner.addressee.name
        ):
            partner.has_noted = True
            remark_refused(self._out, partner.addressee)

    def _answer_one(self, partner: _Partner, text: str, answers: list[Json]) -> None:
        """Show one model's answer as it comes and add it to `answers`.

        At a terminal an error does not end the conversation.
        """
        labels = partner.addressee.find_labels()
        is_shown = self._out.mode is not Mode.JSON
        answer = ""
        try:
            for piece in partner.ask(text):
                answer += piece
                if is_shown and not labels:
                    self._out.write(piece)
        except FtopsError as error:
            part = describe_answer(partner.addressee, answer or None) | {"error": error.message}
            if is_shown and answer:
                self._out.write(f"{answer}\n" if labels else "\n")
            answers.append(part)
            if not self._is_live:
                self._out.about = {"turns": self._turns}
                raise
            self._out.complain_about(error.message, error.hint)
            return
        except KeyboardInterrupt:
            if not self._is_live:
                raise
            self._out.remark("(broken off, and forgotten)")
            answers.append({"model": partner.addressee.name, "text": None})
            return
        label = labels.get(answer.strip())
        if is_shown:
            shown = "" if not labels else answer if label is None else label
            self._out.write(f"{shown}\n")
        self._note_refused(partner)
        document = describe_answer(partner.addressee, answer)
        answers.append(document | {"label": label} if labels else document)
