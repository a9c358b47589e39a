"""Layouts of rows that other tools write: their keys, and how each is read.

`LAYOUTS` is the table: the keys that identify a layout, what they become, and which layouts are not
supported and why. `recognition.py` uses it.
"""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from ftops.data.keys import is_metadata
from ftops.data.reading.columns import RowMapper, to_text
from ftops.data.reading.conversations import (
    is_foreign_chat,
    is_message,
    read_calls,
    read_conversation,
    read_messages,
    read_preference,
    read_tools,
)
from ftops.records import Json
from ftops.rows.messages import InvalidRow, JsonObject

TEXT: tuple[type, ...] = (str, int, float, bool)
_LIST, _FLAG, _OBJECT = (list,), (bool,), (dict,)
_MANY = (str, list)  # a list, or JSON text of one
_ANSWERS = (list, dict)
_SAID = (str, list, dict)  # a text, a message, or several
EMPTY: tuple[object, ...] = (None, "", [], {})  # values that count as a missing key


@dataclass(frozen=True, slots=True)
class Layout:
    """One layout: `required` are the keys that identify it, each with the types of its values.

    `optional` keys are also converted; `unused` ones belong to the format and are dropped.
    `becomes` describes what the keys become. Without `read`, rows of the layout are refused with
    `why` and `hint`. `columns` are the prompt keys and the completion key, for layouts that only
    join texts. If some rows have keys that only the layout `wider` has, it reads all rows.
    """

    name: str
    title: str
    required: Mapping[str, tuple[type, ...]]
    becomes: str = ""
    read: RowMapper | None = None
    optional: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    why: str = ""
    hint: str = ""
    columns: tuple[Sequence[str], str] | None = None
    wider: str = ""
    asked_only: bool = False  # used only if the user names it, never detected
    kept: bool = False  # already a training format
    only: Callable[[JsonObject], bool] | None = None
    keys: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", frozenset({*self.required, *self.optional, *self.unused}))

    def name_columns(self, names: Mapping[str, str]) -> str:
        """The options that name the same columns, as typed; "" if no options do.

        `names` are the keys in the data, each with its spelling there.
        """
        if self.columns is None or not self.required.keys() <= names.keys():
            return ""
        asked, answer = self.columns
        prompt = r"\n".join(f"{{{names[key]}}}" for key in asked if key in names)
        return f"--prompt '{prompt}' --completion {shlex.quote(names.get(answer, answer))}"

    def fits(self, record: JsonObject) -> bool:
        """Whether the record has the keys, with values of these types."""
        return all(isinstance(record.get(key), kinds) for key, kinds in self.required.items()) and (
            self.only is None or self.only(record)
        )


def _text_of(record: JsonObject, key: str) -> str:
    """The text under a key; "" if it is missing."""
    value = record.get(key)
    return "" if value is None else to_text(key, value)


def _join(record: JsonObject, keys: Sequence[str]) -> str:
    return "\n".join(text for text in (_text_of(record, key) for key in keys) if text)


def _read_pair(*keys: str) -> RowMapper:
    """Maps texts to a row: the last key is the completion, the other non-empty ones the prompt."""
    *asked, answer = keys

    def read(record: JsonObject) -> JsonObject:
        value = record.get(answer)
        completion = str(value) if type(value) is int else value
        return {"prompt": _join(record, asked), "completion": completion}

    return read


def _pair(
    name: str,
    title: str,
    asked: Sequence[str],
    answer: str,
    *,
    filled: Sequence[str] = (),
    unused: tuple[str, ...] = (),
    wider: str = "",
) -> Layout:
    """A layout of texts: the prompt is `asked` and the keys of `filled` that are not empty."""
    keys = (*asked, *filled)
    return Layout(
        name,
        title,
        dict.fromkeys((*asked, answer), TEXT),
        f"prompt = {' + '.join(keys)}, completion = {answer}",
        _read_pair(*keys, answer),
        optional=tuple(filled),
        unused=unused,
        columns=(keys, answer),
        wider=wider,
    )


def _read_chat(*asked: str, answer: str, system: str) -> RowMapper:
    """Maps texts to a chat: optional system message and earlier turns, then question and answer."""

    def read(record: JsonObject) -> JsonObject:
        turns: list[Json] = []
        if instructions := _text_of(record, system):
            turns.append({"role": "system", "content": instructions})
        history = record.get("history") or []
        for index, pair in enumerate(history if isinstance(history, list) else [history]):
            if not isinstance(pair, list) or len(pair) != 2:
                raise InvalidRow(f"history[{index}] is not a question and its answer")
            turns += [
                {"role": "user", "content": pair[0]},
                {"role": "assistant", "content": pair[1]},
            ]
        turns.append({"role": "user", "content": _join(record, asked)})
        turns.append({"role": "assistant", "content": record.get(answer)})
        return {"messages": turns}

    return read


def _read_conversations(key: str) -> RowMapper:
    def read(record: JsonObject) -> JsonObject:
        row = read_conversation(
            record.get(key), key, system=record.get("system"), tools=record.get("tools")
        )
        carried = ("parallel_tool_calls", "functions")
        return row | {name: record[name] for name in carried if record.get(name) is not None}

    return read


def _read_prompt_messages(record: JsonObject) -> JsonObject:
    asked, answered = record.get("prompt"), record.get("completion")
    turns = [*asked, *answered] if isinstance(asked, list) and isinstance(answered, list) else None
    return read_conversation(turns, "prompt and completion", tools=record.get("tools"))


def _read_contents(record: JsonObject) -> JsonObject:
    row = read_conversation(record.get("contents"), "contents", tools=None)
    said = record.get("systemInstruction") or record.get("system_instruction")
    if not said:
        return row
    about = said if isinstance(said, dict) else {"content": said}
    first = read_messages([{**about, "role": "system"}], "systemInstruction")
    return {"messages": [*cast("list[Json]", first), *cast("list[Json]", row["messages"])]}


def _read_answers(*asked: str, answers: str) -> RowMapper:
    """Maps a question with a list of answers to a row; the answers must all be equal."""

    def read(record: JsonObject) -> JsonObject:
        value = record.get(answers)
        texts = value.get("text") if isinstance(value, dict) else value
        listed = texts if isinstance(texts, list) else [texts]
        if not listed or not all(isinstance(text, str) for text in listed):
            raise InvalidRow(f"{answers} holds no text, or more than texts", "not-text")
        different = list(dict.fromkeys(cast("list[str]", listed)))
        if len(different) > 1:
            reason = f"{answers} holds {len(different)} different texts, and a completion is one"
            raise InvalidRow(reason, "not-text")
        return {"prompt": _join(record, asked), "completion": different[0]}

    return read


def _read_preference(*asked: str, question: str = "") -> RowMapper:
    """Maps two answers to the texts under `asked`, or to the conversation under `question`."""

    def read(record: JsonObject) -> JsonObject:
        if record.get("messages") not in (None, record.get("chosen")):  # UltraFeedback repeats it
            raise InvalidRow("messages differs from chosen and would be lost", "unexpected-key")
        before: list[JsonObject] = []
        if instructions := record.get("system"):
            before.append({"role": "system", "content": instructions})
        talk = record.get(question) if question else None
        if isinstance(talk, list):
            before += read_messages(talk, question)
        elif text := _join(record, asked):
            before.append({"role": "user", "content": text})
        row = read_preference(before, record.get("chosen"), record.get("rejected"))
        offered = read_tools(record.get("tools"))
        if offered:
            row["input"] = {**cast(JsonObject, row["input"]), "tools": cast(Json, offered)}
        return row

    return read


def _read_xlam(record: JsonObject) -> JsonObject:
    answer = read_calls(record.get("answers"), "answers")
    messages: list[Json] = [{"role": "user", "content": _text_of(record, "query")}, answer]
    return {"messages": messages, "tools": cast(Json, read_tools(record.get("tools")))}


def _holds_messages(record: JsonObject, key: str) -> bool:
    turns = record.get(key)
    return isinstance(turns, list) and bool(turns) and all(map(is_message, turns))


def _read_text(record: JsonObject) -> JsonObject:
    return {"prompt": "", "completion": record.get("text")}


_ONE_GRADE = "each answer has its own grade, but providers train on answers or on pairs of answers"
_FILTER = (
    "Keep the rows with good answers without the grade, or pair a good and a bad answer to one"
    " prompt as chosen and rejected."
)
_SYSTEM = ("system", "tools")
_CHAT = "messages in the roles of the API"
PAIRS = (
    ("question", "answer"), ("question", "response"), ("question", "output"), ("q", "a"),
    ("query", "response"), ("query", "answer"), ("query", "output"), ("input", "output"),
    ("input", "target"), ("input", "label"), ("prompt", "response"), ("prompt", "output"),
    ("prompt", "answer"), ("instruction", "answer"), ("instruction", "completion"),
    ("source", "target"), ("src", "tgt"), ("text", "label"), ("sentence", "label"),
    ("text", "summary"), ("document", "summary"), ("article", "summary"), ("dialogue", "summary"),
    ("article", "highlights"), ("problem", "solution"), ("problem", "answer"),
)  # fmt: skip
LAYOUTS: tuple[Layout, ...] = (
    Layout("prompt-completion", "prompt and completion", {"prompt": TEXT, "completion": TEXT},
           "kept", kept=True),
    Layout("openai-chat", "OpenAI chats", {"messages": _LIST}, "kept", kept=True,
           optional=("tools", "functions", "parallel_tool_calls"),
           only=lambda record: not is_foreign_chat(record)),
    Layout("openai-preference", "OpenAI preferences",
           {"input": _OBJECT, "preferred_output": _LIST, "non_preferred_output": _LIST}, "kept",
           kept=True),
    _pair("alpaca", "Alpaca rows", ["instruction"], "output", filled=["input"],
          wider="alpaca-chat"),
    Layout("alpaca-chat", "Alpaca rows with system or history",
           {"instruction": TEXT, "output": TEXT},
           "system and history become earlier messages, instruction + input the user's message,"
           " output the answer",
           _read_chat("instruction", "input", answer="output", system="system"),
           optional=("input", "system", "history"),
           only=lambda record: bool(record.get("system") or record.get("history"))),
    _pair("dolly", "instruction rows (Dolly)", ["instruction"], "response",
          filled=["context", "input"], unused=("category",)),
    Layout("system-question-response", "questions with a system prompt (OpenOrca)",
           {"system_prompt": TEXT, "question": TEXT, "response": TEXT},
           "system_prompt, question and response become messages",
           _read_chat("question", answer="response", system="system_prompt")),
    Layout("user-assistant", "user and assistant columns",
           {"user": TEXT, "assistant": TEXT}, "system, user and assistant become messages",
           _read_chat("user", answer="assistant", system="system"), optional=("system",)),
    Layout("sharegpt", "ShareGPT conversations", {"conversations": _LIST},
           f"{_CHAT}, with tool calls, tool results and tools",
           _read_conversations("conversations"), optional=_SYSTEM,
           only=lambda record: _holds_messages(record, "conversations")),
    Layout("conversation", "conversations", {"conversation": _LIST}, _CHAT,
           _read_conversations("conversation"), optional=_SYSTEM,
           only=lambda record: _holds_messages(record, "conversation")),
    Layout("messages", "chats with other key names (ShareGPT, TRL, Anthropic)", {"messages": _LIST},
           f"{_CHAT}; calls without an id get one; system becomes the first message",
           _read_conversations("messages"),
           optional=(*_SYSTEM, "functions", "parallel_tool_calls"), only=is_foreign_chat),
    Layout("prompt-messages", "chats in two parts (TRL)", {"prompt": _LIST, "completion": _LIST},
           "the messages of prompt, then those of completion", _read_prompt_messages,
           optional=("tools",)),
    Layout("gemini", "Gemini chats", {"contents": _LIST}, f"{_CHAT}; parts are joined",
           _read_contents, optional=("systemInstruction", "system_instruction")),
    Layout("preference", "preferences (TRL)",
           {"prompt": _MANY, "chosen": _SAID, "rejected": _SAID},
           "input = prompt, preferred_output = chosen, non_preferred_output = rejected",
           _read_preference("prompt", question="prompt"), optional=(*_SYSTEM, "messages")),
    Layout("preference-implicit", "preferences with an implicit prompt (TRL)",
           {"chosen": _LIST, "rejected": _LIST},
           "input = the messages that both start with; each has one more, its answer",
           _read_preference(), optional=_SYSTEM),
    Layout("preference-transcript", "preference transcripts (HH)",
           {"chosen": (str,), "rejected": (str,)},
           "turns of Human: and Assistant: become messages: the common ones are the input, the last"
           " ones the answers",
           _read_preference(),
           only=lambda record: str(record["chosen"]).startswith("\n\nHuman:")),
    Layout("preference-text", "preferences of whole texts",
           {"chosen": (str,), "rejected": (str,)},
           why="the end of the prompt is unknown", hint="Write the prompt to its own key."),
    Layout("alpaca-preference", "Alpaca preferences",
           {"instruction": TEXT, "chosen": _SAID, "rejected": _SAID},
           "input = instruction + input, preferred_output = chosen, non_preferred_output ="
           " rejected", _read_preference("instruction", "input"), optional=("input", "system")),
    Layout("question-preference", "preferences with a question",
           {"question": TEXT, "chosen": _SAID, "rejected": _SAID},
           "input = system and question, preferred_output = chosen, non_preferred_output ="
           " rejected", _read_preference("question"), optional=("system",)),
    Layout("sharegpt-preference", "ShareGPT preferences",
           {"conversations": _LIST, "chosen": _SAID, "rejected": _SAID},
           "input = conversations, preferred_output = chosen, non_preferred_output = rejected",
           _read_preference(question="conversations"), optional=_SYSTEM),
    Layout("kto", "KTO rows", {"prompt": _SAID, "completion": _SAID, "label": _FLAG},
           why=_ONE_GRADE, hint=_FILTER),
    Layout("kto-alpaca", "KTO rows", {"instruction": TEXT, "output": TEXT, "kto_tag": _FLAG},
           optional=("input", "system", "history"), why=_ONE_GRADE, hint=_FILTER),
    Layout("kto-sharegpt", "KTO rows", {"conversations": _LIST, "kto_tag": _FLAG},
           optional=_SYSTEM, why=_ONE_GRADE, hint=_FILTER),
    Layout("kto-messages", "KTO rows", {"messages": _LIST, "label": _FLAG}, optional=_SYSTEM,
           why=_ONE_GRADE, hint=_FILTER),
    Layout("xlam", "tool calls (xLAM)", {"query": TEXT, "tools": _MANY, "answers": _MANY},
           "query = the user's message, answers = tool calls, tools = the row's tools",
           _read_xlam),
    Layout("glaive", "Glaive transcripts", {"chat": (str,), "system": (str,)},
           why="one text contains all turns, and the tools are described in prose",
           hint="Use the ShareGPT version of the data (conversations and tools)."),
    Layout("question-answers", "questions with lists of answers",
           {"question": TEXT, "answers": _ANSWERS},
           "prompt = question, completion = the text of answers, if there is only one",
           _read_answers("question", answers="answers")),
    Layout("question-answer-list", "questions with lists of answers",
           {"question": TEXT, "answer": _ANSWERS},
           "prompt = question, completion = the text of answer, if there is only one",
           _read_answers("question", answers="answer")),
    Layout("squad", "SQuAD rows", {"context": TEXT, "question": TEXT, "answers": _ANSWERS},
           "prompt = context + question, completion = the text of answers, if there is only one",
           _read_answers("context", "question", answers="answers"), unused=("title",)),
    _pair("context-question-answer", "questions about a text", ["context", "question"], "answer",
          unused=("title",)),
    *(_pair(f"{asked}-{answer}", f"rows of {asked} and {answer}", [asked], answer)
      for asked, answer in PAIRS),
    Layout("text", "plain texts", {"text": (str,)},
           "prompt = empty, completion = text", _read_text, asked_only=True,
           only=lambda record: all(
               key == "text" or value in EMPTY or is_metadata(key) for key, value in record.items()
           ),
           why="there is no prompt and no answer, and chat models cannot be trained on plain text",
           hint="Split the texts into prompt and completion; for a completion model,"
           " --layout text reads each text as the completion of an empty prompt."),
    Layout("self-instruct", "Self-Instruct tasks", {"instruction": TEXT, "instances": _LIST},
           why="a row has several inputs and outputs",
           hint="Write each instance as a row with instruction, input and output."),
    Layout("segments", "templates of segments", {"segments": _LIST},
           why="each segment of a text says whether it is trained on",
           hint="Write the rows as messages; weight: 0 marks those that are not trained on."),
    Layout("stepwise", "graded steps",
           {"prompt": _SAID, "completions": _LIST, "labels": _LIST}, why=_ONE_GRADE, hint=_FILTER),
    Layout("translation", "translations", {"translation": _OBJECT},
           why="the source and the target language are unknown",
           hint="Write the rows with the keys source and target."),
    Layout("multiple-choice", "questions with choices", {"question": TEXT, "choices": _ANSWERS},
           optional=("answer", "answerKey"), unused=("subject",),
           why="the format of the choices in the prompt is unknown",
           hint="Write question and choices as the prompt, and the correct choice as the"
           " completion."),
)  # fmt: skip
BY_NAME = {layout.name: layout for layout in LAYOUTS}
