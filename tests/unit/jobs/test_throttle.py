import os

from studio.jobs.throttle import LONGEST, Throttle


def test_training_waits_while_somebody_drags_but_not_for_ever(tmp_path):
    now = [1000.0]

    def sleep(seconds):
        now[0] += seconds

    throttle = Throttle(tmp_path, clock=lambda: now[0], sleep=sleep)
    assert throttle.wait() == 0
    throttle.activity()
    os.utime(throttle.path, (1000.0, 1000.0))
    assert 0.6 < throttle.wait() < 0.9

    def dragging(seconds):
        now[0] += seconds
        os.utime(throttle.path, (now[0], now[0]))

    os.utime(throttle.path, (now[0], now[0]))
    assert LONGEST <= Throttle(tmp_path, clock=lambda: now[0], sleep=dragging).wait() < LONGEST + 0.2
