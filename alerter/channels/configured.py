"""Which channels there are, from what has been set."""

from collections.abc import Sequence
from dataclasses import dataclass

from alerter.channels.channel import Channel
from alerter.channels.console import ConsoleChannel
from alerter.channels.slack import SlackChannel, SlackParams, SlackWebhook, SlackWebhookParams
from alerter.channels.telegram import TelegramBot, TelegramChat, TelegramParams


@dataclass(frozen=True, kw_only=True)
class ChannelsParams:
    """Services that are set up; None for those that are not.

    Attributes:
        telegram: the bot.
        telegram_chat_ids: chats that it writes to.
        slack: the bot and its channel.
        slack_webhook: an incoming webhook.
    """

    telegram: TelegramParams | None = None
    telegram_chat_ids: Sequence[str] = ()
    slack: SlackParams | None = None
    slack_webhook: SlackWebhookParams | None = None


def build_channels(params: ChannelsParams) -> list[Channel]:
    """Return a channel for each chat, Slack channel and webhook; the console when there is none."""
    channels: list[Channel] = []
    if params.telegram is not None:
        bot = TelegramBot(params.telegram)
        channels += [
            TelegramChat(bot, chat_id=chat_id) for chat_id in dict.fromkeys(params.telegram_chat_ids)
        ]
    if params.slack is not None:
        channels.append(SlackChannel(params.slack))
    if params.slack_webhook is not None:
        channels.append(SlackWebhook(params.slack_webhook))
    return channels or [ConsoleChannel()]
