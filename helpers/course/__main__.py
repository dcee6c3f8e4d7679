"""`python -m helpers.course`."""

from helpers.course.cli import main

main()
