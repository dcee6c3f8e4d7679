"""Opens a session to SageMaker, local or AWS."""



class SageMakerHelper:
    pass


def connect(lab=None):
    raise NotImplementedError
