"""Which order the text of a locale sorts by: names and LCIDs to numbers of sort ids.

Newer catalogs have the sort id of each index; older ones only the locale, whose order Windows
looks up by name, then by the name without its last part.

Source: format specification 10.4; the names under ``Control\\Nls\\Sorting\\Ids`` of the registry.
"""

from __future__ import annotations

from locale import windows_locale

from hotsplit.ese.format.catalogschema import IndexDef
from hotsplit.ese.format.collation import KeyUnknown
from hotsplit.ese.format.sorttable import DEFAULT_SORT, SORT_ID_TAIL

_NO_LOCALE = (0, 0x7F, 0x400)  # none, invariant, default of the user
_SORTS = {
    0x02: "haw",
    0x03: "fr oc wo",
    0x04: "hu",
    0x05: "lv",
    0x06: "lv-LV_tradnl",
    0x07: "pa-Arab sd",
    0x08: "tk",
    0x09: "sah",
    0x0A: "mk",
    0x0B: "kk",
    0x0C: "km",
    0x0D: "tzm",
    0x0E: "co",
    0x0F: "br",
    0x10: "moh",
    0x11: "rm",
    0x12: "arn",
    0x13: "hsb",
    0x14: "mi",
    0x15: "ur",
    0x16: "prs ps",
    0x17: "ug",
    0x18: "sq",
    0x19: "bs hr sr",
    0x1A: "fi sv",
    0x1B: "se-FI se-SE sma smj smn sms",
    0x1C: "cs",
    0x1D: "pl",
    0x1E: "sl",
    0x1F: "da kl",
    0x20: "nb nn no",
    0x21: "se sma-NO smj-NO",
    0x22: "tr",
    0x23: "az",
    0x24: "ro",
    0x25: "is",
    0x26: "hu-HU_technl",
    0x27: "et",
    0x28: "lt",
    0x29: "sk",
    0x2A: "es-ES_tradnl",
    0x2B: "es quc qut",
    0x2C: "cy",
    0x2D: "mt",
    0x2E: "lo",
    0x2F: "th",
    0x30: "vi",
    0x31: "as",
    0x32: "bn gu hi kn kok ml mr or pa sa si ta te",
    0x33: "ne",
    0x34: "bo",
    0x35: "x-IV_mathan",
    0x36: "ja-JP_radstr",
    0x37: "zh-HK zh-Hant zh-MO zh-TW",
    0x38: "zh-TW_pronun",
    0x39: "zh-CN_stroke zh-SG_stroke",
    0x3A: "zh",
    0x3B: "zh-HK_radstr zh-MO_radstr zh-TW_radstr",
    0x3C: "ti",
    0x3D: "ba",
    0x3E: "fy",
    0x3F: "de-DE_phoneb",
    0x40: "uk",
    0x41: "fa",
    0x43: "tt",
    0x44: "syr",
    0x45: "dv",
    0x46: "ja",
    0x47: "ko",
    0x48: "ka-GE_modern",
    0x4A: "bg ky mn ru tg uz-Cyrl",
    0x4B: "zh-CN_phoneb zh-SG_phoneb",
}
_BY_NAME = {name.lower(): sort for sort, names in _SORTS.items() for name in names.split()}


def sort_of(index: IndexDef) -> int:
    """Return the number of the order that an index sorts Unicode text by. Raises KeyUnknown."""
    if any(index.sort_id):
        if index.sort_id[4:] != SORT_ID_TAIL:
            raise KeyUnknown(f"the sort id {index.sort_id.hex()} is not one of Windows")
        return int.from_bytes(index.sort_id[:4], "little")
    if isinstance(index.locale, str):
        return sort_of_name(index.locale)
    if index.locale in _NO_LOCALE:
        return DEFAULT_SORT
    name = windows_locale.get(index.locale)
    if name is None:
        raise KeyUnknown(f"the locale {index.locale:#x} is not known here")
    return sort_of_name(name.replace("_", "-"))


def sort_of_name(name: str) -> int:
    """Return the number of the order of a locale name. Raises KeyUnknown for another order."""
    folded = name.lower()
    if "_" in folded and folded not in _BY_NAME:
        raise KeyUnknown(f"the order of the locale {name} is not known here")
    while folded:
        if folded in _BY_NAME:
            return _BY_NAME[folded]
        folded = folded.rpartition("-")[0]
    return DEFAULT_SORT
