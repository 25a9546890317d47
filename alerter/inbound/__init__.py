"""What people answer: buttons and commands on Telegram and Slack, turned into commands for the life cycle."""
