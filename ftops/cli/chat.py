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
from ftops.cli.target_model import TargetModel, open_target_models
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
    with open_target_models(model, provider, base_url, api_key_env, raw=raw) as targets:
        partners = [
            _ChatModel(
                one,
                Sampling(max_tokens, temperature, top_p, one.choose_stop(stop), seed),
                one.find_system(),
            )
            for one in targets
        ]
        _Conversation(out, partners).run()


@dataclass(slots=True)
class _ChatModel:
    """A model, and what was said between it and the user."""

    target: TargetModel
    sampling: Sampling
    system: str | None
    said: list[Message] = field(default_factory=list)
    has_noted: bool = False  # that it refuses parameters

    def ask(self, text: str) -> Iterator[str]:
        """The answer, piece by piece; it is remembered once it is whole."""
        target = self.target
        prompt: Prompt
        if target.takes_chats:
            turn = target.make_turn(text)
            first = (Message("system", self.system),) if self.system else ()
            prompt = (*first, *self.said, turn)
        else:
            prompt = target.make_prompt(text)
        answer = ""
        for piece in target.source.stream(target.name, prompt, self.sampling):
            answer += piece
            yield piece
        if target.takes_chats:
            self.said += [turn, Message("assistant", answer)]


class _Conversation:
    """The conversation; in the JSON mode it is told as a whole at its end."""

    def __init__(self, out: Output, partners: list[_ChatModel]) -> None:
        self._out = out
        self._partners = partners
        self._turns: list[Json] = []
        self._is_live = sys.stdin.isatty()

    def run(self) -> None:
        """Until the user ends it."""
        self._say_who_forgets()
        if self._is_live:
            self._out.info(_HELP)
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
            if not partner.target.takes_chats:
                self._out.info(
                    f"{partner.target.name} goes on from a text: each line stands alone, and"
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
                self._out.info("")
                return

    def _obey(self, line: str) -> bool:
        """Do what `/…` says; False when the conversation is over."""
        word, _, rest = line.partition(" ")
        if word in ("/quit", "/exit"):
            return False
        if word == "/reset":
            for partner in self._partners:
                partner.said.clear()
            self._out.info("forgotten: the next line begins anew")
        elif word == "/system":
            for partner in self._partners:
                partner.system = rest.strip() or None
                partner.said.clear()
            self._out.info("the next line begins anew, with that system message")
        else:
            self._out.info(f"there is no {word}: {_HELP}")
        return True

    def _answer(self, text: str) -> None:
        answers: list[Json] = []
        self._turns.append({"text": text, "answers": answers})
        for number, partner in enumerate(self._partners):
            if len(self._partners) > 1 and self._out.mode is Mode.HUMAN:
                self._out.write("\n" * bool(number) + f"{partner.target.name}:\n")
            self._answer_one(partner, text, answers)

    def _note_refused(self, partner: _ChatModel) -> None:
        """Say once which parameters the model has refused."""
        if not partner.has_noted and partner.target.source.get_refused_parameters(
            partner.target.name
        ):
            partner.has_noted = True
            remark_refused(self._out, partner.target)

    def _answer_one(self, partner: _ChatModel, text: str, answers: list[Json]) -> None:
        """Show one model's answer as it comes and add it to `answers`.

        At a terminal an error does not end the conversation.
        """
        labels = partner.target.get_label_map()
        is_shown = self._out.mode is not Mode.JSON
        answer = ""
        try:
            for piece in partner.ask(text):
                answer += piece
                if is_shown and not labels:
                    self._out.write(piece)
        except FtopsError as error:
            part = describe_answer(partner.target, answer or None) | {"error": error.message}
            if is_shown and answer:
                self._out.write(f"{answer}\n" if labels else "\n")
            answers.append(part)
            if not self._is_live:
                self._out.about = {"turns": self._turns}
                raise
            self._out.error(error.message, error.hint)
            return
        except KeyboardInterrupt:
            if not self._is_live:
                raise
            self._out.info("(broken off, and forgotten)")
            answers.append({"model": partner.target.name, "text": None})
            return
        label = labels.get(answer.strip())
        if is_shown:
            shown = "" if not labels else answer if label is None else label
            self._out.write(f"{shown}\n")
        self._note_refused(partner)
        document = describe_answer(partner.target, answer)
        answers.append(document | {"label": label} if labels else document)
