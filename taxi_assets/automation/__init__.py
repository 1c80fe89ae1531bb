"""What runs by itself: jobs, schedules, the sensors that watch the source, alerts."""
