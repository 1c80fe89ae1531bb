"""Faults of runs that Dagster's daemon starts."""

from chaos.scene import Scene


def requested_and_killed(scene: Scene) -> None:
    """Kill a run of the daemon, which starts it again."""
    run = scene.request()
    run.wait_for_process()
    scene.note(f"after {scene.some_time():.2f} s")
    run.kill()
    run.wait()


def requested_and_terminated(scene: Scene) -> None:
    """Request a run, and terminate it in the UI."""
    run = scene.request()
    run.wait_for_process()
    scene.note(f"after {scene.some_time():.2f} s")
    run.terminate()
    run.wait()
