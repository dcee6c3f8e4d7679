"""Answers that are believed, within reason."""

from hostile.case import FULL, answer, without


@answer("claim", scores=without("test_claim"), flagged="gave")
def claims_nan():
    def claim():
        return float("nan")


@answer("claim", scores=without("test_claim"), flagged="gave")
def claims_infinity():
    def claim():
        return float("inf")


@answer("claim", scores=without("test_claim"), flagged="gave")
def claims_too_much():
    def claim():
        return 1000000000.0


@answer("claim", scores=without("test_claim"), flagged="gave")
def claims_less_than_nothing():
    def claim():
        return -1


@answer("claim", scores=without("test_claim"), flagged="gave")
def claims_true():
    def claim():
        return True


@answer("claim", scores=FULL | {"test_claim": 2.0})
def claims_a_numpy_number():
    def claim():
        return np.float64(2.0)


@answer("claim", scores=FULL | {"test_claim": 1.5})
def claims_a_part():
    def claim():
        return 1.5


@answer("claim", scores=without("test_claim"))
def claims_nothing():
    def claim():
        return 0


@answer("claim", scores=without("test_claim"))
def claims_an_object():
    class N:
        def __float__(self):
            return 4.0

    def claim():
        return N()


@answer("claim", scores=without("test_claim"), flagged="gave")
def claims_a_list():
    def claim():
        return [4.0]


@answer("double")
def warns_on_stderr():
    import sys
    import warnings

    def double(number):
        warnings.warn("careful")
        print("careful", file=sys.stderr)
        return number * 2
