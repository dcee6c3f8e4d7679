"""A local SageMaker of a benchmark's own."""

from collections.abc import Iterator

import pytest

from helpers import SageMakerHelper, connect, local_sagemaker


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SageMakerHelper]:
    """A session with a local SageMaker that nothing else uses."""
    home = tmp_path_factory.mktemp("benchmark")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCAL_SAGEMAKER_HOME", str(home))
        for name in local_sagemaker.environment(local_sagemaker.start(home)):
            patch.setenv(name, "")
        yield connect(lab="benchmark")
    local_sagemaker.stop(home)
