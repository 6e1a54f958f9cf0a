"""Numbers, money and dates as a person says them, in the language of whoever reads."""

from babel.dates import format_skeleton
from babel.numbers import format_compact_decimal

from odoo import fields
from odoo.tools import babel_locale_parse, get_lang
from odoo.tools.misc import formatLang

#: keeps a code and its number on one line
NARROW = "\u00a0"
#: amounts below are short enough as they are
SHORT_FROM = 10_000


def number_text(env, number):
    """Return a whole number with the separators of the user's language."""
    return formatLang(env, number, digits=0)


def money_text(env, amount, currency):
    """Return an amount with its ISO 4217 code, at the currency's scale: ``USD 1,200.00``."""
    digits = currency.decimal_places if currency else 2
    return f"{currency.name or ''}{NARROW}{formatLang(env, float(amount), digits=digits)}"


def short_money_text(env, amount, currency):
    """Return an amount for a headline, rounded from ten thousand on: ``USD 31.2M``."""
    if abs(amount) < SHORT_FROM:
        return money_text(env, amount, currency)
    return f"{currency.name}{NARROW}{compact_text(env, amount)}"


def compact_text(env, number):
    """Return a number rounded for the eye: ``31.2M``."""
    return format_compact_decimal(number, locale=_locale(env), fraction_digits=1)


def payments_text(env, count):
    """Return a count of payments: ``1 payment``, ``1,720 payments``."""
    if count == 1:
        return env._("1 payment")
    return env._("%s payments", number_text(env, count))


def day_text(env, day):
    """Return a day without its year where that is this year's: ``1 Dec``."""
    skeleton = "MMMd" if day.year == fields.Date.context_today(env.user).year else "yMMMd"
    return format_skeleton(skeleton, day, locale=_locale(env))


def moment_text(env, moment):
    """Return a UTC time in the user's zone; of today, the time of day alone."""
    local = fields.Datetime.context_timestamp(env.user, moment)
    time = format_skeleton("Hm", local, locale=_locale(env))
    if local.date() == fields.Date.context_today(env.user):
        return time
    return f"{day_text(env, local.date())}, {time}"


def duration_text(env, seconds):
    """Return about how long that is: ``less than a minute``, ``4 minutes``, ``2 days``."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return env._("less than a minute")
    if minutes == 1:
        return env._("1 minute")
    if minutes < 120:
        return env._("%s minutes", number_text(env, minutes))
    hours = round(minutes / 60)
    if hours < 48:
        return env._("%s hours", number_text(env, hours))
    return env._("%s days", number_text(env, round(hours / 24)))


def _locale(env):
    return babel_locale_parse(get_lang(env).code)
