"""What every lab imports: `connect` opens a session to SageMaker, local or AWS."""

from helpers.session import SageMakerHelper, connect

__all__ = ["SageMakerHelper", "connect"]
