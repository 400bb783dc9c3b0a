"""The offline AWS: servers on this machine, a deployment on them, and the scheduled day.

In reading order: `servers` (start and stop), `sample` (what the vendor publishes), `deploy` (the stack, made by
CloudFormation), `day` (fire the schedule, wait, tell what happened), `__main__` (the commands).
"""
