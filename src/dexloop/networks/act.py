"""Action chunking with transformers: a conditional VAE that predicts the next k actions at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

# An action that hardly moves in the demonstrations must not be blown up into noise; the paper's code has the same.
_SMALLEST_DEVIATION = 0.01


@dataclass(frozen=True, slots=True)
class TransformerConfig:
    """Sizes of the transformers.

    chunk: actions predicted at once, k [control steps]. style: entries of z. encoder_layers: also of the style encoder.
    width, heads, feedforward, dropout: of every layer. The paper has 100 actions at 50 Hz, 2 s as here at 10 Hz; its
    width of 512, 8 heads and 4 + 7 layers read whole feature maps, these a token or two a camera.
    """

    chunk: int = 20
    style: int = 32
    width: int = 64
    heads: int = 4
    feedforward: int = 256
    encoder_layers: int = 2
    decoder_layers: int = 2
    dropout: float = 0.1


class StyleEncoder(nn.Module):
    """q(z | proprioception, actions): a transformer over [CLS, proprioception, a_1 ... a_k]; for training only."""

    def __init__(self, proprio: int, action_size: int, config: TransformerConfig) -> None:
        super().__init__()
        self.summary = nn.Parameter(torch.randn(config.width))
        self.proprio_input = nn.Linear(proprio, config.width)
        self.action_input = nn.Linear(action_size, config.width)
        self.positions: Tensor
        self.register_buffer("positions", sinusoidal_positions(2 + config.chunk, config.width), persistent=False)
        self.transformer = _encoder(config)
        self.output = nn.Linear(config.width, 2 * config.style)

    def forward(self, proprio: Tensor, actions: Tensor, padded: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of z, each (B, Z), for proprio (B, P), actions (B, k, A) and padded (B, k) bool."""
        summary = self.summary.expand(len(proprio), 1, -1)
        tokens = torch.cat([summary, self.proprio_input(proprio)[:, None], self.action_input(actions)], 1)
        unread = torch.cat([padded.new_zeros(len(padded), 2), padded], 1)
        read = self.transformer(tokens + self.positions, src_key_padding_mask=unread)
        mean, log_variance = self.output(read[:, 0]).chunk(2, -1)
        return mean, log_variance


class ActNetwork(nn.Module):
    """pi(a_1 ... a_k | s, z) and q(z | s, a_1 ... a_k) on latent observations.

    Zhao et al., "Learning Fine-Grained Bimanual Manipulation with Low-Cost Hardware", arXiv 2304.13705. A transformer
    encoder reads [z, proprioception, one token for each further part]; a decoder asks it with one learned query for
    each action of the chunk. Actions are standardised inside, with what ``fit_actions`` found.

    parts: sizes of the latent's parts, which add up to D; the first is the proprioception, the others are the
    privileged state, each camera's features and, with a memory, the mean of each camera's. ignored: entries of the
    latent that it must not see.
    """

    def __init__(
        self, parts: Sequence[int], action_size: int, config: TransformerConfig, *, ignored: Sequence[int] = ()
    ) -> None:
        super().__init__()
        self.config = config
        self.parts = tuple(parts)
        seen = torch.ones(sum(self.parts))
        seen[list(ignored)] = 0.0
        self.seen: Tensor
        self.action_mean: Tensor
        self.action_deviation: Tensor
        self.register_buffer("seen", seen)
        self.register_buffer("action_mean", torch.zeros(action_size))
        self.register_buffer("action_deviation", torch.ones(action_size))
        self.style_encoder = StyleEncoder(self.parts[0], action_size, config)
        self.style_input = nn.Linear(config.style, config.width)
        self.part_inputs = nn.ModuleList([nn.Linear(part, config.width) for part in self.parts])
        self.token_positions = nn.Parameter(torch.randn(1 + len(self.parts), config.width))
        self.encoder = _encoder(config)
        self.queries = nn.Parameter(torch.randn(config.chunk, config.width))
        self.decoder = nn.TransformerDecoder(
            nn.TransformerDecoderLayer(
                config.width, config.heads, config.feedforward, config.dropout, batch_first=True
            ),
            config.decoder_layers,
        )
        self.output = nn.Linear(config.width, action_size)
        self._initialise()

    def fit_actions(self, actions: Tensor) -> None:
        """Set mean and deviation of the actions (N, A) from these, the demonstrations'."""
        self.action_mean.copy_(actions.mean(0))
        self.action_deviation.copy_(actions.std(0).clamp(min=_SMALLEST_DEVIATION))

    def standardised(self, actions: Tensor) -> Tensor:
        """Actions (..., A) in the units in which they are learned."""
        return (actions - self.action_mean) / self.action_deviation

    def infer_style(self, observation: Tensor, actions: Tensor, padded: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of z, each (B, Z), of the standardised actions (B, k, A) that followed.

        padded (B, k) bool: True where the episode was over; what ``actions`` holds there is not read.
        """
        proprio = (observation * self.seen)[:, : self.parts[0]]
        return self.style_encoder(proprio, actions, padded)

    def forward(self, observation: Tensor, style: Tensor) -> Tensor:
        """Standardised actions (B, k, A) for latent observations (B, D) and z (B, Z)."""
        parts = (observation * self.seen).split(self.parts, -1)
        inputs = [layer(part) for layer, part in zip(self.part_inputs, parts, strict=True)]
        tokens = torch.stack([self.style_input(style), *inputs], 1) + self.token_positions
        queries = self.queries.expand(len(observation), -1, -1)
        return self.output(self.decoder(queries, self.encoder(tokens)))

    def chunk(self, observation: Tensor) -> Tensor:
        """The actions (B, k, A) in [-1, 1] that it would take from here on, with z = 0, the mean of its prior."""
        predicted = self(observation, observation.new_zeros(len(observation), self.config.style))
        return (predicted * self.action_deviation + self.action_mean).clamp(-1.0, 1.0)

    def _initialise(self) -> None:
        """Weights as DETR's transformers begin (arXiv 2005.12872); PyTorch would start all layers as copies of one."""
        for module in (self.style_encoder.transformer, self.encoder, self.decoder):
            for parameter in module.parameters():
                if parameter.dim() > 1:
                    nn.init.xavier_uniform_(parameter)


def sinusoidal_positions(length: int, width: int) -> Tensor:
    """The fixed position code (length, width) of Vaswani et al., arXiv 1706.03762, section 3.5; ``width`` is even."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angles = torch.arange(length)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)


def _encoder(config: TransformerConfig) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(config.width, config.heads, config.feedforward, config.dropout, batch_first=True)
    return nn.TransformerEncoder(layer, config.encoder_layers, enable_nested_tensor=False)
