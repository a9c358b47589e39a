"""Keys, tokens and passwords in texts, by the forms that their makers give them.

Nearly all of them hold a long run of letters and digits, which running text does not: so the text
is searched for such runs, and only what stands around one is looked at.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator

from ftops.data.screening.kinds import Kind, Place

_RUN = 20
_WORD = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
_CLASSES = bytes(97 if byte in _WORD else 32 for byte in range(256))
_BEFORE = 60
_AFTER = 4096
_LEAST_ENTROPY = 3.5  # bits a character; words and dates joined by dashes have less or no digits
_NOT_WITHIN = rb"(?<![A-Za-z0-9])"

_PREFIXED = re.compile(
    _NOT_WITHIN
    + rb"(?:"
    + rb"|".join(
        (
            rb"(?P<AWS>A(?:KIA|SIA)[A-Z2-7]{16})",
            rb"(?P<GitHub>gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{60,255})",
            rb"(?P<GitLab>glpat-[A-Za-z0-9_\-]{20,64})",
            rb"(?P<model_provider>sk-(?:[a-z0-9]{2,10}-){1,2}[A-Za-z0-9_\-]{20,200}"
            rb"|sk-[A-Za-z0-9]{20,64}|gsk_[A-Za-z0-9]{40,64}|xai-[A-Za-z0-9]{60,100})",
            rb"(?P<Slack>xox[abeprs]-[A-Za-z0-9\-]{16,250})",
            rb"(?P<Google>AIza[A-Za-z0-9_\-]{35}|GOCSPX-[A-Za-z0-9_\-]{28}"
            rb"|ya29\.[A-Za-z0-9_\-]{20,500})",
            rb"(?P<Stripe>[rs]k_(?:live|test)_[A-Za-z0-9]{16,247})",
            rb"(?P<Hugging_Face>hf_[A-Za-z]{34})",
            rb"(?P<npm>npm_[A-Za-z0-9]{36})",
            rb"(?P<PyPI>pypi-AgEI[A-Za-z0-9_\-]{50,500})",
            rb"(?P<SendGrid>SG\.[A-Za-z0-9_\-]{22}\.[A-Za-z0-9_\-]{43})",
            rb"(?P<DigitalOcean>do[opr]_v1_[a-f0-9]{64})",
            rb"(?P<Shopify>shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32})",
            rb"(?P<Telegram>[0-9]{8,10}:AA[A-Za-z0-9_\-]{33})",
            rb"(?P<Replicate>r8_[A-Za-z0-9]{37})",
            rb"(?P<Slack_hook>T[A-Z0-9]{8,12}/B[A-Z0-9]{8,12}/[A-Za-z0-9]{24})",
        )
    )
    + rb")(?![A-Za-z0-9])"
)
_WEB_TOKEN = re.compile(
    rb"(?<![A-Za-z0-9_\-])eyJ[A-Za-z0-9_\-]{10,}\.eyJ[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-]*"
)
_ASSIGNED = re.compile(
    rb"(?i:api[_ \-]?key|(?:access|secret)[_ \-]?key|(?:auth|access|api)[_ \-]?token"
    rb"|client[_ \-]?secret|accountkey|secret|password|passwd|bearer)"
    rb"[\"']?[ ]{0,3}(?:=>|[:= ])[ ]{0,3}[\"']?(?P<value>[A-Za-z0-9_\-+/]{20,200}={0,2})"
)
_BLOCK = re.compile(
    rb"-----BEGIN [A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?-----"
    rb"(?:[\\rn \t\r\n]*[A-Z][A-Za-z\-]{2,20}: [^\n\\]{0,200})*"
    rb"[A-Za-z0-9+/=\\ \t\r\n]{40,}[A-Za-z0-9+/=]"
    rb"(?:[ \t\r\n]*-----END [A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?-----)?"
)
_IN_ADDRESS = re.compile(
    rb"[a-z][a-z0-9+.\-]{1,20}://[^\s\x1e:/@?#\[]{1,64}:(?P<value>[^\s\x1e/@\[]{3,128})@[A-Za-z0-9]"
)
_NO_PASSWORDS = frozenset(  # what examples have in that place
    b"password mypassword passwd pass pwd pw secret token key xxx xxxx repo".split()
)
_SOME_DIGIT = re.compile(rb"[0-9]")
_LONGEST_ADDRESS = 220


def find_keys(data: bytes) -> Iterator[Place]:
    """Private keys, tokens and API keys."""
    if b"PRIVATE KEY" in data:
        for found in _BLOCK.finditer(data):
            yield Place(found.start(), found.end(), Kind.PRIVATE_KEY, "PEM")
    classes = data.translate(_CLASSES)
    end = 0
    while (start := classes.find(b"a" * _RUN, end)) >= 0:
        end = classes.find(b" ", start)
        end = len(data) if end < 0 else end
        yield from _look_around(data, start, end)


def _look_around(data: bytes, start: int, end: int) -> Iterator[Place]:
    """What the run of letters and digits from `start` to `end` is, or belongs to."""
    begin = max(0, start - _BEFORE)
    if data.find(b"eyJ", begin, end) >= 0:
        for found in _WEB_TOKEN.finditer(data, begin, end + _AFTER):
            if found.start() <= start < found.end():
                yield Place(found.start(), found.end(), Kind.WEB_TOKEN, "JWT")
    if not _SOME_DIGIT.search(data, start, end) and data.find(b"hf_", start, end) < 0:
        return  # a long name, as programs have them
    for found in _PREFIXED.finditer(data, begin, end + 64):
        if found.end() > start:
            of = (found.lastgroup or "").replace("_", " ")
            yield Place(found.start(), found.end(), Kind.API_KEY, of)
    for found in _ASSIGNED.finditer(data, begin, end + 100):
        if found.end() > start and is_random(found["value"]):
            yield Place(*found.span("value"), Kind.API_KEY, "assigned")


def is_random(value: bytes) -> bool:
    """Whether letters and digits look drawn by lot rather than written."""
    counts = Counter(value)
    if not any(48 <= byte <= 57 for byte in counts) or all(48 <= byte <= 57 for byte in counts):
        return False
    size = len(value)
    entropy = -sum(count / size * math.log2(count / size) for count in counts.values())
    return entropy >= _LEAST_ENTROPY


def find_password(data: bytes, at: int) -> Place | None:
    """The password of a web address such as https://name:password@host, by the place of its @."""
    begin = max(0, at - _LONGEST_ADDRESS)
    if data.find(b"://", begin, at) < 0:
        return None
    for found in _IN_ADDRESS.finditer(data, begin, at + 2):
        if found.end() == at + 2 and found["value"].lower() not in _NO_PASSWORDS:
            return Place(*found.span("value"), Kind.PASSWORD, "address")
    return None
