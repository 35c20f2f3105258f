"""Estimates of accuracy on the target without its labels, as fractions of 1; none decides.

Each is a function of outputs by role: ``source`` are held-out source samples with their labels,
``target`` are target samples whose labels are hidden, and ``target_second`` are the same target
samples as a second run sees them (``gde`` alone). They read the softmax of the logits as
probabilities: of a method whose logits are none (``Method.gives_probabilities``), none is made.

An adapted model is surer of the target than it is right, and by how much no such estimate can see:
``recorded_errors`` in ``da_framework.results.estimate_quality`` has what each was off by, method
by method.

Looked at of the years since 2023, and not taken:

- Normalised nuclear norm (Deng et al., "Confidence and Dispersity Speak", ICML 2023), dispersion
  score (Xie et al., NeurIPS 2023), meta-distribution energy (Peng et al., ICLR 2024) and MaNo (Xie
  et al., NeurIPS 2024): scores that go along with accuracy. An accuracy is made of them by
  regression over many shifted copies of the source whose labels are known; as scores, ``validator``
  is their place, and ``validator=bnm`` is the nuclear norm.
- Agreement-on-the-line (Baek et al., NeurIPS 2022): needs many models that were trained alike.
- Disagreement discrepancy (Rosenfeld, Garg, NeurIPS 2023): a bound on the error and no estimate;
  it trains a critic at every evaluation, and holds only where no other linear head disagrees
  with the model as much as the truth does.

Of them ``cot`` is from 2023.
"""
