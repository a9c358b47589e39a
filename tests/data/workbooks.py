"""Small Excel workbooks, written by hand."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

_TYPES = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"


def make_workbook(sheets: Mapping[str, Sequence[Sequence[object]] | str]) -> bytes:
    """The bytes of a workbook; a sheet is its rows, or the XML inside of its `sheetData`."""
    parts = {
        "[Content_Types].xml": _tag(
            f'Types xmlns="{_PACKAGE}/content-types"',
            '<Default Extension="xml" ContentType="application/xml"/><Default Extension="rels"'
            ' ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPES}.sheet.main+xml"/>'
            + "".join(
                f'<Override PartName="/xl/worksheets/sheet{number}.xml"'
                f' ContentType="{_TYPES}.worksheet+xml"/>'
                for number in range(1, len(sheets) + 1)
            ),
        ),
        "_rels/.rels": _relations([("rId1", "officeDocument", "xl/workbook.xml")]),
        "xl/workbook.xml": _tag(
            f'workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"',
            _tag(
                "sheets",
                "".join(
                    f'<sheet name="{escape(name)}" sheetId="{number}" r:id="rId{number}"/>'
                    for number, name in enumerate(sheets, 1)
                ),
            ),
        ),
        "xl/_rels/workbook.xml.rels": _relations(
            [
                (f"rId{number}", "worksheet", f"worksheets/sheet{number}.xml")
                for number in range(1, len(sheets) + 1)
            ]
        ),
    }
    for number, rows in enumerate(sheets.values(), 1):
        data = rows if isinstance(rows, str) else _rows(rows)
        text = _tag(f'worksheet xmlns="{_MAIN}"', _tag("sheetData", data))
        parts[f"xl/worksheets/sheet{number}.xml"] = text
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return stream.getvalue()


def _tag(start: str, inner: str) -> str:
    return f"<{start}>{inner}</{start.partition(' ')[0]}>"


def _relations(relations: Sequence[tuple[str, str, str]]) -> str:
    return _tag(
        f'Relationships xmlns="{_PACKAGE}/relationships"',
        "".join(
            f'<Relationship Id="{key}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
            for key, kind, target in relations
        ),
    )


def _rows(rows: Sequence[Sequence[object]]) -> str:
    return "".join(
        _tag(
            f'row r="{number}"',
            "".join(_cell(f"{chr(65 + column)}{number}", cell) for column, cell in enumerate(row)),
        )
        for number, row in enumerate(rows, 1)
    )


def _cell(place: str, value: object) -> str:
    if isinstance(value, bool):
        return f'<c r="{place}" t="b"><v>{int(value)}</v></c>'
    if isinstance(value, int | float):
        return f'<c r="{place}"><v>{value}</v></c>'
    text = escape(str(value))
    return f'<c r="{place}" t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'
