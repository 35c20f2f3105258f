"""What every method is: the weighted joint loss, and the terms it adds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import ClassVar, Literal, TypedDict

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from da_framework.core.batch import (
    Batch,
    Objective,
    Outputs,
    Samples,
    Task,
    Term,
    as_input,
    send,
)
from da_framework.core.errors import InputError
from da_framework.core.types import Count, Fraction, Share
from da_framework.methods.extra import Extra
from da_framework.methods.reweighting.class_weights import balanced_class_weights
from da_framework.networks.domain_norm import convert_domain_batchnorm, has_batchnorm
from da_framework.networks.network import Network, rows_per_pass

BatchNorm = Literal["shared", "separate", "domain"]
ClassWeights = Literal["none", "balanced"]


class MethodKeys(TypedDict):
    """The keys that every method has; their defaults stand in ``conf/train.yaml``.

    Attributes:
        alpha: share of the source in the joint loss.
        batch_norm: ``shared``: one pass over all roles, which share their batch statistics;
            ``separate``: a pass a role; ``domain``: one pass in which every domain has statistics
            of its own, in evaluation as well, and all have one scale and shift.
        label_smoothing: share of a label that is spread over all classes.
        class_weights: of the labels' cross-entropy: ``balanced`` weighs classes alike, whatever
            their numbers of samples.
        refresh_every: steps between two refreshes; ``None``: as many as between two evaluations.
    """

    label_smoothing: Fraction
    class_weights: ClassWeights
    refresh_every: Count | None
    alpha: Share
    batch_norm: BatchNorm


class Method(nn.Module):
    r"""What every method is: classification by the weighted joint loss, and the terms it adds.

    .. math:: \alpha L(\text{source}) + (1 - \alpha) L(\text{target labelled})

    over whichever of the two roles there are; alone, a role has weight 1. L is the mean over the
    samples of :math:`w_y \, (-\log p_y)`, where w is 1 or, balanced, :math:`n / (k \, n_y)` of a
    role's training samples. A method adds ``terms``, or yields several ``objectives`` of its own.

    Args:
        network: encoder and head.
        task: classes, domains and samples.
        alpha: share of the source in the joint loss.
        batch_norm: one pass over all roles, one each, or statistics of each domain's own: Chang et
            al., "Domain-Specific Batch Normalization", CVPR 2019.
        label_smoothing: share of a label that is spread over all classes: Szegedy et al.,
            "Rethinking the Inception Architecture for Computer Vision", CVPR 2016, section 7.
        class_weights: w, ``none`` or ``balanced``: King, Zeng, "Logistic Regression in Rare Events
            Data", Political Analysis 2001, section 4.2; scikit-learn's ``class_weight``.
            https://doi.org/10.1093/oxfordjournals.pan.a004868
        refresh_every: steps between two refreshes, an epoch of the method; ``None``: as many as
            between two evaluations. For methods that refresh while they train.
    """

    roles: ClassVar[tuple[str, ...]] = ("source", "target")
    """What a batch must hold."""
    optional: ClassVar[tuple[str, ...]] = ("target_labelled",)
    """What it holds as well where the data has it."""
    refreshes: ClassVar[tuple[str, ...]] = ()
    """Roles whose outputs over all training samples ``refresh`` is given."""
    baseline: ClassVar[bool] = False
    """Whether it transfers nothing: what a method that does must not fall below."""
    aligns: ClassVar[bool] = False
    """Whether the added terms claim to bring the domains' features together."""
    setting: ClassVar[Literal["closed", "partial", "open"]] = "closed"
    """The target's classes it is made for: the source's, fewer, or others as well."""
    needs_init_from: ClassVar[bool] = False
    """Whether it works on a network that is trained already, and so needs ``init_from``."""
    closed_form: ClassVar[bool] = False
    """Whether one ``refresh`` fits it, to features that are there, and no step trains it."""
    needs_raw_inputs: ClassVar[bool] = False
    """Whether it needs the inputs themselves, so that ready features cannot stand for them."""
    perturbs_inputs: ClassVar[bool] = False
    """Whether it adds to the inputs, which must be of numbers that can be added to."""
    needs_teachers: ClassVar[bool] = False
    """Whether it learns from former runs, and so needs ``teachers``."""
    keeps_teachers: ClassVar[bool] = False
    """Whether their networks are part of it, so that it is not brought back without them."""
    generalizes: ClassVar[bool] = False
    """Whether its target is tested and never seen, so that a validator sees sources alone."""
    compares_sources: ClassVar[bool] = False
    """Whether it learns from how sources differ, and so needs several."""
    needs_batch_norm: ClassVar[bool] = False
    """Whether it is nothing without batch norm in the network."""
    exempt_from: ClassVar[Mapping[str, str]] = {}
    """Promises of the self-check that cannot apply, each with the reason."""
    gives_probabilities: bool = True
    """Whether the softmax of its logits claims to be a probability; only then is its calibration
    measured. Distances and votes do not."""
    progress: float = 0.0
    """Share of training done, in [0, 1]; the trainer keeps it."""

    def __init__(
        self,
        network: Network,
        task: Task,
        *,
        alpha: Share,
        batch_norm: BatchNorm,
        label_smoothing: Fraction = 0.0,
        class_weights: ClassWeights = "none",
        refresh_every: Count | None = None,
    ) -> None:
        super().__init__()
        if batch_norm == "domain" and not has_batchnorm(network):
            raise InputError("method.batch_norm=domain: the network has no batch norm")
        self.network = (
            convert_domain_batchnorm(network, len(task.domains))
            if batch_norm == "domain"
            else network
        )
        self.task = task
        self.alpha = alpha
        self.batch_norm = batch_norm
        self.label_smoothing = label_smoothing
        self.class_weights = class_weights
        self.refresh_every = refresh_every
        # over several processes the trainer puts a gather with gradient in its place
        self.gather: Callable[[Tensor], Tensor] = _identity
        self.extra: Mapping[str, Extra] = {}
        self._per_sample: dict[str, tuple[str, int | float]] = {}
        # seeded by the trainer every step, alike on all processes: for draws over the global batch
        self.generator = torch.Generator()

    @property
    def predictor(self) -> Network:
        """The network that ``forward`` passes inputs through: another where that is an average."""
        return self.network

    @classmethod
    def head_classes(cls, classes: int) -> int:
        """Logits of the network for so many classes; asked before it is built."""
        return classes

    def forward(
        self, x: Num[Tensor, "rows ..."], domain: Int[Tensor, " rows"] | None = None
    ) -> tuple[Float[Tensor, "rows d"], Float[Tensor, "rows k"]]:
        """Features and logits, as evaluated; no domain means the target's."""
        features, logits = self.network(x, domain)
        return features, logits

    def terms(self, source: Outputs, target: Outputs) -> Mapping[str, Term]:
        """What the method adds to the classification loss."""
        return {}

    def method_terms(self, outputs: Mapping[str, Outputs]) -> Mapping[str, Term]:
        """``terms`` given every role, for methods of other roles than source and target."""
        if {"source", "target"} <= outputs.keys():
            return self.terms(outputs["source"], outputs["target"])
        return {}

    def objectives(self, batch: Batch) -> Iterator[Objective]:
        """The moves of one step, in order; computed one after the other, each before its update."""
        yield Objective(self.all_terms(self.outputs(batch)))

    def all_terms(self, outputs: Mapping[str, Outputs]) -> Mapping[str, Term]:
        """The weighted joint loss, what the method adds, and what the configuration adds."""
        return {
            **self.classification(outputs),
            **self.method_terms(outputs),
            **self.extras(outputs),
        }

    def extras(self, outputs: Mapping[str, Outputs]) -> Mapping[str, Term]:
        """The terms added by configuration: ``term=[...]``.

        A method of several moves puts them where its encoder and head learn from the labels.
        """
        return {
            f"extra_{name}": extra(outputs, self.progress) for name, extra in self.extra.items()
        }

    def parts(self) -> Mapping[str, Sequence[nn.Module]]:
        """What is optimised apart, an optimizer each."""
        return {"model": [self]}

    def updated(self, objective: Objective) -> None:
        """After an objective's step: moving averages and the like."""

    def evaluated(self, outputs: Mapping[str, Outputs]) -> None:
        """After every evaluation, given what a validator is; what is kept belongs in buffers."""

    def refresh(self, outputs: Mapping[str, Outputs]) -> None:
        """Before every epoch, given the outputs over the training samples of ``refreshes``.

        What it makes belongs in buffers, or a resumed run would not have it; a value for each
        sample in one of ``register_per_sample``. Inputs may be on disk: ``x[rows]`` reads some of
        them, ``x[:]`` all.
        """

    def register_per_sample(self, name: str, *, role: str, value: int | float) -> None:
        """Adds a buffer of a value for each training sample of a role; a refresh fills it.

        Args:
            name: of the buffer.
            role: whose samples it is of; ``Outputs.row`` indexes it.
            value: of every sample to begin with; a whole number makes whole numbers.
        """
        self._per_sample[name] = (role, value)
        self.register_buffer(name, torch.full((self.task.rows[role],), value))

    def reset_fitted(self, task: Task) -> None:
        """Drops what a refresh has fitted to the samples so far, to train on others.

        Args:
            task: how many training samples each role has now, and of which classes.
        """
        self.task = replace(self.task, rows=task.rows, class_counts=task.class_counts)
        for name, (role, value) in self._per_sample.items():
            self.register_buffer(name, self.get_buffer(name).new_full((task.rows[role],), value))

    def warnings(self, outputs: Mapping[str, Outputs]) -> Iterator[str]:
        """What a person should know, in words, given the outputs of an evaluation."""
        return iter(())

    def outputs(self, batch: Batch) -> Mapping[str, Outputs]:
        """Role to outputs of the global batch, gathered over processes with gradient."""
        roles = [r for r in dict.fromkeys((*self.roles, *self.optional)) if r in batch]
        samples = [batch[role] for role in roles]
        if self.batch_norm != "separate":
            passed = self.network(
                torch.cat([s.x for s in samples]), torch.cat([s.domain for s in samples])
            )
            sizes = [s.x.shape[0] for s in samples]
            features, logits = (field.split_with_sizes(sizes) for field in passed)
        else:
            passes = [self.network(s.x, s.domain) for s in samples]
            features, logits = zip(*passes, strict=True)
        return {
            role: Outputs(*map(self.gather, (*samples[i], features[i], logits[i])))
            for i, role in enumerate(roles)
        }

    def classification(self, outputs: Mapping[str, Outputs]) -> Mapping[str, Term]:
        """The weighted joint loss, a term a labelled role."""
        weights = {"source": self.alpha, "target_labelled": 1 - self.alpha}
        labelled = {role: weight for role, weight in weights.items() if role in outputs}
        if len(labelled) == 1:
            labelled = dict.fromkeys(labelled, 1.0)
        return {
            role: Term(self.label_loss(outputs[role], role), weight)
            for role, weight in labelled.items()
        }

    def label_loss(self, outputs: Outputs, role: str) -> Float[Tensor, ""]:
        """Mean of ``label_losses``."""
        if self.class_weights == "balanced":
            return self.label_losses(outputs, role).mean()
        # in one operation: the mean of single losses differs from it in the last bits
        return cross_entropy(outputs.logits, outputs.y, label_smoothing=self.label_smoothing)

    def label_losses(self, outputs: Outputs, role: str) -> Float[Tensor, " rows"]:
        """Cross-entropy of each sample, smoothed and weighted as the configuration says."""
        losses = cross_entropy(
            outputs.logits, outputs.y, reduction="none", label_smoothing=self.label_smoothing
        )
        if self.class_weights == "none":
            return losses
        weights = balanced_class_weights(torch.tensor(self.task.class_counts[role]))
        return weights.to(losses)[outputs.y] * losses

    def normal(self, *shape: int, like: Tensor) -> Tensor:
        """Standard normal numbers, the same on all processes: for samples of the global batch."""
        return send(torch.randn(shape, generator=self.generator), like)

    def uniform(self, *shape: int, like: Tensor) -> Tensor:
        """Numbers uniform in [0, 1), the same on all processes."""
        return send(torch.rand(shape, generator=self.generator), like)

    @torch.no_grad()
    def evaluate_samples(self, samples: Samples, *, size: int = 512) -> Outputs:
        """Outputs as evaluated, without gradient, at most ``size`` samples a pass; modes return."""
        # in the weights' own precision, whoever asks
        with evaluating(self), torch.autocast(samples.x.device.type, enabled=False):
            size = rows_per_pass(self.network, samples.x.shape, size)
            chunks = [samples.at(slice(i, i + size)) for i in range(0, len(samples.x), size)]
            passes = [self(as_input(chunk.x), chunk.domain) for chunk in chunks]
        features, logits = (torch.cat(field).float() for field in zip(*passes, strict=True))
        return Outputs(*samples, features, logits)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """The module in evaluation mode; afterwards every part is in the mode it was in."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def _identity(x: Tensor) -> Tensor:
    return x
