"""The steps of a run as Prefect tasks, one a file, named as the step."""
