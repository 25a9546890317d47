"""Which channels there are, from what has been set."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from alerter.channels import apprise
from alerter.channels.channel import Channel
from alerter.channels.console import ConsoleChannel
from alerter.channels.mail import Mail, MailParams
from alerter.channels.pagerduty import PagerDuty, PagerDutyParams
from alerter.channels.slack import SlackChannel, SlackParams, SlackWebhook, SlackWebhookParams
from alerter.channels.telegram import TelegramBot, TelegramChat, TelegramParams
from alerter.channels.webhook import Webhook, WebhookParams
from alerter.notification import Notification
from shared.clock import Clock, SystemClock


@dataclass(frozen=True, kw_only=True)
class ChannelsParams:
    """Services that are set up; None for those that are not.

    Attributes:
        telegram: the bot.
        telegram_chat_ids: chats that it writes to.
        slack: the bot and its channel.
        slack_webhook: an incoming webhook.
        webhook: a receiver of one's own.
        pagerduty: a service's integration.
        mail: an SMTP server and recipients.
        apprise_urls: addresses of other services.
    """

    telegram: TelegramParams | None = None
    telegram_chat_ids: Sequence[str] = ()
    slack: SlackParams | None = None
    slack_webhook: SlackWebhookParams | None = None
    webhook: WebhookParams | None = None
    pagerduty: PagerDutyParams | None = None
    mail: MailParams | None = None
    apprise_urls: Sequence[str] = field(default=(), repr=False)


def build_channels(
    params: ChannelsParams,
    *,
    clock: Clock | None = None,
    picture: Callable[[Notification], bytes | None] | None = None,
) -> list[Channel]:
    """Return a channel for each chat, address and service; the console when there is none.

    Args:
        params: what is set up.
        clock: the time; the system's by default.
        picture: draws a notification, for channels that send pictures unasked.

    Raises:
        ToolMissingError: an extra that is needed is not installed.
        ConfigError: an address is none.
    """
    channels: list[Channel] = []
    now_us = (clock or SystemClock()).now_us
    if params.telegram is not None:
        bot = TelegramBot(params.telegram)
        channels += [
            TelegramChat(bot, chat_id=chat_id) for chat_id in dict.fromkeys(params.telegram_chat_ids)
        ]
    if params.slack is not None:
        channels.append(SlackChannel(params.slack))
    if params.slack_webhook is not None:
        channels.append(SlackWebhook(params.slack_webhook))
    if params.webhook is not None:
        channels.append(Webhook(params.webhook, now_us=now_us))
    if params.pagerduty is not None:
        channels.append(PagerDuty(params.pagerduty))
    if params.mail is not None:
        channels.append(Mail(params.mail, now_us=now_us, picture=picture))
    channels += apprise.build(params.apprise_urls)
    return channels or [ConsoleChannel()]
