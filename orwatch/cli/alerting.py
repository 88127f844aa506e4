"""What sync and validate do once their work is recorded: judge what is stored, say what is news, send it."""

from __future__ import annotations

import logging

from orwatch.cli.context import Context
from orwatch.cli.notices import notice
from orwatch.config.settings import Settings
from orwatch.domain.alerts.alert import Alert
from orwatch.errors import InterruptedRunError, OrwatchError
from orwatch.jobs.alert.result import Judgement, WatchRules

log = logging.getLogger(__name__)


def judge_and_say(context: Context) -> Judgement:
    """Judge; an alert is a warning in the log and a line on standard error, which cron mails.

    No trouble with that fails the job. Where the database cannot be had, the next run judges. A bug is an
    error in the log, with its traceback, and a line on standard error, and the run exits with 1.
    """
    from orwatch.jobs.alert.judge import judge

    try:
        judgement = judge(context.store, context.now, watch_rules(context.settings))
    except InterruptedRunError:
        raise
    except OrwatchError as error:
        log.warning("the alerts are judged by the next run: %s", error)
        return Judgement()
    except Exception:
        log.exception("the alerts could not be judged, which is a bug")
        judgement = Judgement(has_bug=True)
    if judgement.has_bug:
        notice("not all alerts could be judged, which is a bug; please report it with what the log says")
    for alert in judgement.raised:
        text = f"alert {alert.id} ({alert.rule}): {alert.summary}"
        log.warning("%s", text, extra={"is_said": True})
        notice(text)
    for alert in judgement.recovered:
        text = f"alert {alert.id} ({alert.rule}) is over: {alert.recovery}"
        log.info("%s", text, extra={"is_said": True})
        notice(text)
    return judgement


def send_alerts(context: Context) -> None:
    """Send what is to be sent, as the last thing: what the run has found is said, its exit code stays."""
    settings = context.settings
    if not settings.notify_urls and not settings.on_alert:
        return
    from orwatch.cli.interruption import interruptible
    from orwatch.jobs.alert.destinations import find
    from orwatch.jobs.alert.send import send_pending

    destinations = find(settings.notify_urls, settings.on_alert)
    try:
        with interruptible(0, outcome="the job is done; the next run sends what was not sent."):
            done = send_pending(context.store, destinations, alert_json, context.clock)
    except Exception:
        log.exception("the alerts could not be sent, which is a bug")
        notice("the alerts could not be sent, which is a bug; please report it with what the log says")
        return
    for delivery in done:
        if delivery.is_news:
            notice(f"{delivery} (`orwatch alert test` tries every destination)")


def alert_json(alert: Alert) -> str:
    """What a command of the user's own gets."""
    from orwatch.render.alert import ALERT

    return ALERT.document(alert)


def watch_rules(settings: Settings) -> WatchRules:
    """How to judge, by the settings."""
    return WatchRules(settings.alerts_off, settings.limit_warn_percent, settings.balance_warn_usd)
