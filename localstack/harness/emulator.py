"""MiniStack in this process, its scheduler looking every half second for what is due instead of every ten."""

from ministack.app import main
from ministack.services import scheduler

scheduler._SCHEDULE_TICK_INTERVAL = 0.5
main()
