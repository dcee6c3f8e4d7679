"""Settings of nbgrader for this course: its own commands and `course` both read them."""

c = get_config()  # noqa: F821 (nbgrader gives it to this file)

c.CourseDirectory.course_id = "sagemaker-course"
c.CourseDirectory.source_directory = "source"
c.CourseDirectory.release_directory = "release"
c.CourseDirectory.submitted_directory = "submitted"
c.CourseDirectory.autograded_directory = "autograded"
c.CourseDirectory.feedback_directory = "feedback"
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__", ".sagemaker", "_build"]

c.ClearSolutions.code_stub = {"python": 'raise NotImplementedError("Student exercise: replace this line")'}
c.ClearSolutions.text_stub = "*Student exercise: replace this line with your answer.*"

c.ExecutePreprocessor.timeout = 600
c.Execute.timeout = 600
c.Execute.shutdown_kernel = "immediate"
c.Execute.extra_arguments = ["--HistoryManager.hist_file=:memory:", "--IPKernelApp.log_level=ERROR"]
