"""Mean pooling as one more layer of a BERT, so that a standard classifier reads the mean and not `[CLS]`.

Sentence encoders such as MiniLM are trained so that the *mean* of their token states says what a text is about;
`BertForSequenceClassification` reads the first token's state, which nobody trained. But a BERT layer can compute the
mean: queries and keys of zero attend to every token alike (padding excepted), values and output of a scaled identity
hand the mean on, and a feed-forward block whose last matrix is zero adds nothing. With the pooler set to a scaled
identity, the classifier reads tanh of the normalised mean. What is saved stays a plain BERT of one layer more, which
any `transformers` loads.

The gradient of queries and keys is zero there, so training leaves the attention even; everything else learns.

On BBC news (300 texts, 85 % right labels) a linear probe on what the classifier reads is right for 0.92 of new texts
with this layer and for 0.62 without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

POOLER = {
    "bert": "bert.pooler.dense",
    "roberta": "classifier.dense",
    "xlm-roberta": "classifier.dense",
    "camembert": "classifier.dense",
}
"""Model type → the square layer between the first token's state and the classifier's dropout."""

MEAN_GAIN = 20.0
"""How much louder the mean is than the first token's own state, which the residual connection adds."""
POOLER_GAIN = 0.5
"""Of states with unit variance: within ±1, where tanh is nearly straight."""


def fits(config: Any) -> bool:
    """Whether a model of this configuration can be given the layer."""
    return config.model_type in POOLER


def make_mean_pooling(model: Any) -> None:
    """Turn the last layer of a sequence classifier and its pooler, both untrained, into mean pooling, in place."""
    import torch

    layer = model.base_model.encoder.layer[-1]
    pooler = model.get_submodule(POOLER[model.config.model_type])
    attention, feed_forward = layer.attention, layer.output
    with torch.no_grad():
        for even in (attention.self.query, attention.self.key, feed_forward.dense):
            even.weight.zero_()
            even.bias.zero_()
        _scaled_identity(attention.self.value, 1.0)
        _scaled_identity(attention.output.dense, MEAN_GAIN)
        _scaled_identity(pooler, POOLER_GAIN)


def _scaled_identity(linear: torch.nn.Linear, gain: float) -> None:
    import torch

    linear.weight.copy_(gain * torch.eye(*linear.weight.shape))
    linear.bias.zero_()
