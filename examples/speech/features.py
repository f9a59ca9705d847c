"""Log-mel spectrograms of one-second speech clips: the model's input.

Training and inference must agree on every constant here, so both import this file. It needs numpy and the
standard library alone, so that whoever runs the finished model does not need TensorFlow to feed it.

A clip is CLIP_SAMPLES mono samples at SAMPLE_RATE, as float32 in [-1, 1]. A spectrogram is float32 of SHAPE
[frames, bands, 1], in [-1, 1]: +1 is the loudest cell of the clip, -1 is RANGE_DB below it or less, so the
recording level does not matter.
"""

from __future__ import annotations

import wave
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
CLIP_SAMPLES = 16_384
WINDOW = 400
HOP = 128
FFT_SIZE = 512
FRAMES = CLIP_SAMPLES // HOP
BANDS = 48
SHAPE = (FRAMES, BANDS, 1)
LOW_HZ, HIGH_HZ = 80.0, 7_600.0
RANGE_DB = 80.0

Samples = NDArray[np.float32]


def read_wav(path: str | Path) -> Samples:
    """The samples of a 16-bit mono WAV file at SAMPLE_RATE; any other file is a ValueError that says why."""
    try:
        with wave.open(str(path), "rb") as wav:
            channels, width, rate = wav.getnchannels(), wav.getsampwidth(), wav.getframerate()
            data = wav.readframes(wav.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError(f"{path}: not a PCM WAV file ({error})") from error
    if (channels, width, rate) != (1, 2, SAMPLE_RATE):
        raise ValueError(
            f"{path}: {channels} channel(s) of {8 * width} bits at {rate} Hz; need 1 of 16 bits at {SAMPLE_RATE} Hz"
        )
    return from_int16(np.frombuffer(data, dtype="<i2"))


def write_wav(path: str | Path, samples: Samples) -> None:
    """Write `samples` as the kind of file that read_wav accepts."""
    with wave.open(str(path), "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(SAMPLE_RATE)
        wav.writeframes(to_int16(samples).astype("<i2").tobytes())


def to_int16(samples: Samples) -> NDArray[np.int16]:
    """Samples in [-1, 1] as 16-bit integers; louder ones are clipped."""
    return np.clip(np.rint(samples * 32_768), -32_768, 32_767).astype(np.int16)


def from_int16(samples: NDArray[np.int16]) -> Samples:
    """The inverse of to_int16."""
    return samples.astype(np.float32) / np.float32(32_768)


def fit_clip(samples: Samples) -> Samples:
    """CLIP_SAMPLES samples: a short recording is centred in silence, a long one cut to its loudest part."""
    excess = len(samples) - CLIP_SAMPLES
    if excess <= 0:
        before = -excess // 2
        return np.pad(samples, (before, -excess - before)).astype(np.float32)
    energy = np.concatenate(([0.0], np.cumsum(samples.astype(np.float64) ** 2)))
    start = int(np.argmax(energy[CLIP_SAMPLES:] - energy[:-CLIP_SAMPLES]))
    return samples[start : start + CLIP_SAMPLES]


@lru_cache(maxsize=1)
def mel_filters() -> NDArray[np.float64]:
    """Triangular filters [FFT_SIZE / 2 + 1, BANDS], evenly spaced in mel as O'Shaughnessy (1987) has it."""
    low, high = (2595.0 * np.log10(1.0 + hz / 700.0) for hz in (LOW_HZ, HIGH_HZ))
    edges = 700.0 * (10.0 ** (np.linspace(low, high, BANDS + 2) / 2595.0) - 1.0)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    bins = np.fft.rfftfreq(FFT_SIZE, 1.0 / SAMPLE_RATE)[:, None]
    return np.maximum(0.0, np.minimum((bins - left) / (centre - left), (right - bins) / (right - centre)))


def spectrogram(clip: Samples) -> NDArray[np.float32]:
    """The log-mel spectrogram, of SHAPE, of CLIP_SAMPLES samples."""
    if clip.shape != (CLIP_SAMPLES,):
        raise ValueError(f"a clip has shape {(CLIP_SAMPLES,)}, not {clip.shape}; see fit_clip")
    margin = WINDOW - HOP
    padded = np.pad(clip, (margin // 2, margin - margin // 2))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(WINDOW), FFT_SIZE)) ** 2
    decibels = 10.0 * np.log10(power @ mel_filters() + 1e-10)
    relative = np.maximum(decibels - decibels.max(), -RANGE_DB)
    return (1.0 + 2.0 * relative / RANGE_DB).astype(np.float32)[..., None]


def load_spectrogram(path: str | Path) -> NDArray[np.float32]:
    """The spectrogram of a WAV file of any length; add a leading batch axis before giving it to the model."""
    return spectrogram(fit_clip(read_wav(path)))
