"""Numbers and days as the language of the request writes them (CLDR, by Babel). Times are UTC and say so."""

from datetime import UTC, date, datetime

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal, format_percent

from archive.state_item import Item
from gateway.portal.languages import ENGLISH, gettext, language


def number(value: float, digits: int = 0) -> str:
    """A number in groups, with this many digits behind the point: 12,345 or 12 345 or 12.345."""
    return format_decimal(value, format=_digits("#,##0", digits), locale=_locale())


def significant(value: float, digits: int = 4) -> str:
    """A number with at most so many significant digits."""
    return format_decimal(value, format="@" + "#" * (digits - 1), locale=_locale())


def percent(share: float, digits: int = 0) -> str:
    """A share of 1 in percent: 17% or 17 %."""
    pattern = _locale().percent_formats[None].pattern
    return format_percent(share, format=_digits(pattern, digits), locale=_locale())


def day(value: date | datetime) -> str:
    """A day as it is usually written; in English its month is in letters, so that it is mistaken for no other."""
    return format_date(_utc(value), format="medium", locale=_locale())


def moment(value: datetime) -> str:
    """A day and a time of it to the minute, in UTC."""
    return f"{day(value)}, {format_datetime(_utc(value), format='HH:mm', locale=_locale())} UTC"


def told_item(item: Item) -> str:
    """What a thing of the node's state says, its numbers and days as the language of the request writes them."""
    text = gettext(item.said)
    return text % {name: _shown(value) for name, value in item.values.items()} if item.values else text


def _shown(value: object) -> object:
    if isinstance(value, datetime):
        return day(value)
    if isinstance(value, int | float):
        return number(value, 0 if isinstance(value, int) else 2)
    return value


def study_date(text: str) -> str:
    """A DICOM date (DA: YYYYMMDD) as a day; a text that is none as it is."""
    try:
        return day(datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC))
    except ValueError:
        return text


def _digits(pattern: str, digits: int) -> str:
    return pattern.replace("0", "0." + "0" * digits) if digits else pattern


def _utc(value: date) -> date:
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def _locale() -> Locale:
    """For English Europe's way: days go before months."""
    return Locale.parse("en_GB" if language() == ENGLISH else language())
