"""What validators are given."""

from collections.abc import Callable, Mapping

from da_framework.core.batch import Outputs, Samples


class Validation(dict[str, Outputs]):
    """Outputs of the roles ``source`` (labelled) and ``target`` (labels hidden), and the model.

    Most validators read the outputs alone; those that ask the model something more say so by this
    type.

    Args:
        outputs: by role.
        evaluate_samples: makes outputs of other samples.
        reverse: outputs for the held-out source of a copy of the model that has been trained the
            other way: its labels of the target's training samples are learnt, and the source's are
            not seen.
    """

    def __init__(
        self,
        outputs: Mapping[str, Outputs],
        *,
        evaluate_samples: Callable[[Samples], Outputs],
        reverse: Callable[[], Outputs],
    ) -> None:
        super().__init__(outputs)
        self.evaluate_samples = evaluate_samples
        self.reverse = reverse

    def without(self, role: str) -> "Validation":
        """The same with a role hidden; what asks for it is told that it is not there."""

        def hidden() -> Outputs:
            raise KeyError(role)

        return Validation(
            {name: outputs for name, outputs in self.items() if name != role},
            evaluate_samples=self.evaluate_samples,
            reverse=hidden,
        )
