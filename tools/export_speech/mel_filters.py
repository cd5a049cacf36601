"""The mel filter bank of Whisper's front end, computed from its definition.

Slaney's mel scale (Auditory Toolbox, 1998): linear below 1 kHz, 200/3 Hz per mel; logarithmic above, with 27 steps
for a factor of 6.4. Triangles between neighbouring centres, each scaled to unit area ("Slaney normalisation"). This
is what `librosa.filters.mel(sr=16000, n_fft=400, n_mels=80)` defines, which Whisper's published tables come from.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SAMPLE_RATE_HZ = 16_000
FFT_SIZE = 400

_LINEAR_HZ_PER_MEL = 200.0 / 3.0
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _LINEAR_HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27.0

Array = npt.NDArray[np.float64]


def hz_to_mel(hz: Array) -> Array:
    """Frequency in hertz to Slaney mels."""
    above = _BREAK_MEL + np.log(np.maximum(hz, _BREAK_HZ) / _BREAK_HZ) / _LOG_STEP
    return np.where(hz < _BREAK_HZ, hz / _LINEAR_HZ_PER_MEL, above)


def mel_to_hz(mel: Array) -> Array:
    """Slaney mels to frequency in hertz."""
    above = _BREAK_HZ * np.exp(_LOG_STEP * (np.maximum(mel, _BREAK_MEL) - _BREAK_MEL))
    return np.where(mel < _BREAK_MEL, mel * _LINEAR_HZ_PER_MEL, above)


def mel_filters(n_mels: int) -> npt.NDArray[np.float32]:
    """The bank as [n_mels, FFT_SIZE / 2 + 1], from 0 Hz to half the sampling rate."""
    nyquist = SAMPLE_RATE_HZ / 2
    bins_hz = np.linspace(0.0, nyquist, FFT_SIZE // 2 + 1)
    ends = hz_to_mel(np.array([0.0, nyquist]))
    edges = mel_to_hz(np.linspace(ends[0], ends[1], n_mels + 2))
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = (bins_hz - left) / (centre - left)
    falling = (right - bins_hz) / (right - centre)
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return (triangles * 2.0 / (right - left)).astype(np.float32)
