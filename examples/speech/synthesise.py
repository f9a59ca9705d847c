"""Synthesises the spoken syllables that the speech example is trained and tested on.

Recordings of people cannot be shipped, and a data set to download may vanish, so Debian's espeak-ng speaks
"pa", "ta", "ka", "pataka" and other things ("none") in many voices. A voice is a language with a variant (its
timbre). Each split has languages and variants of its own: nothing of a test voice is ever trained on. Every
number is drawn from generators seeded by (seed, split, voice): the same seed gives the same clips.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import wave
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from features import CLIP_SAMPLES, SAMPLE_RATE, Samples, to_int16, write_wav
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_DATA = ROOT / "build" / "speech"
WAVS = Path(__file__).resolve().parent / "wavs"
LABELS = ("pa", "ta", "ka", "pataka", "none")
SNRS_DB = (10, 15, 20, 30, 40)
WAVS_PER_LABEL = 2


def names(text: str) -> tuple[str, ...]:
    """The words of a long list, which would otherwise take a line each."""
    return tuple(text.split())


# Nearly the targets, so that the model must listen to each sound, not just to loudness. Voiced stops ("ba")
# are not among them: in languages without aspiration they differ from "pa" by voicing alone, which noise may hide.
NEAR_MISSES = names(
    "ma na la sa fa ra va wa pi ti ki po to ko pu tu ku pe te ke "
    "papa tata kaka pata taka kapa paka takapa kapata patata kakapa salaka patama"
)
WORDS = names(
    "banana hello window seven orange number music yellow lima olive sonata metro radio casa lemon river "
    "mama alo domino salami gorilla balena novela limonada melody"
)

Clip = tuple[NDArray[np.int16], int, int, str]


class SynthesisError(RuntimeError):
    """espeak-ng is missing, too old, or failed; the message is one line."""


@dataclass(frozen=True)
class Split:
    """Who speaks in one part of the data, and the clips of each voice per label ("none": twice that)."""

    name: str
    languages: tuple[str, ...]
    variants: tuple[str, ...]
    clips_per_label: int
    # Speech is resampled by up to this factor, which moves its formants as a longer vocal tract does.
    stretch: float = 1.0

    @property
    def voices(self) -> tuple[str, ...]:
        return tuple(f"{language}+{variant}" for language in self.languages for variant in self.variants)


# Only languages that say these syllables as written: Estonian "ba" is [pa], so it would be labelled wrongly.
SPLITS = (
    Split(
        "train",
        names("en-us es it pl nl fi ro hu sk sw fr-fr hr tr de sq eu pap om eo mt lt sl ht lb"),
        names(
            "m1 m2 m3 m5 m8 f1 f2 f5 klatt2 klatt4 adam Alicia Andy Annie antonio belinda caleb Denis Diogo "
            "Gene Hugo max Michael miguel paul rob steph travis zac anika sandro shelby norbert victor Alex "
            "iven iven3 Jacky kaukovalta Nguyen RicishayMax Storm Tweaky benjamin boris david marcelo Mike"
        ),
        2,
        stretch=1.18,
    ),
    Split("validation", names("pt af lv"), names("m6 f3 klatt Andrea ed Lee Marco aunty"), 5),
    Split(
        "test",
        names("en-gb ca id sv cs"),
        names("m4 m7 f4 klatt3 linda john pablo robert edward quincy"),
        5,
    ),
)


@dataclass(frozen=True)
class Clips:
    """A split's clips [n, CLIP_SAMPLES], with the label index, noise level and voice of each."""

    samples: NDArray[np.int16]
    labels: NDArray[np.int64]
    snrs_db: NDArray[np.int64]
    voices: NDArray[np.str_]

    @staticmethod
    def load(path: Path) -> Clips:
        with np.load(path) as data:
            return Clips(data["samples"], data["labels"], data["snrs_db"], data["voices"])

    def save(self, path: Path) -> None:
        np.savez(path, samples=self.samples, labels=self.labels, snrs_db=self.snrs_db, voices=self.voices)


def run_espeak(*arguments: str) -> bytes:
    """What espeak-ng writes to its standard output."""
    try:
        done = subprocess.run(["espeak-ng", *arguments], capture_output=True, check=False)
    except FileNotFoundError as error:
        raise SynthesisError("espeak-ng is not installed; on Debian: apt install espeak-ng") from error
    message = done.stderr.decode(errors="replace").strip()
    if done.returncode != 0 or "Error" in message:
        first_line = (message.splitlines() or ["no message"])[0]
        raise SynthesisError(f"espeak-ng {' '.join(arguments)} failed: {first_line}")
    return done.stdout


def check_voices() -> None:
    """Refuse to go on if a variant is unknown: espeak-ng would silently use its default voice instead."""
    listing = run_espeak("--voices=variant").decode()
    known = {line.split("!v/")[1].split("  ")[0].strip() for line in listing.splitlines() if "!v/" in line}
    for split in SPLITS:
        for variant in split.variants:
            if variant not in known:
                raise SynthesisError(f"this espeak-ng has no voice variant '{variant}'; version 1.51 or newer has it")


def resample(samples: Samples, rate: int) -> Samples:
    """Band-limited change from `rate` to SAMPLE_RATE, by cutting or padding the spectrum."""
    length = round(len(samples) * SAMPLE_RATE / rate)
    spectrum = np.fft.rfft(samples)[: length // 2 + 1]
    return (np.fft.irfft(spectrum, length) * (length / len(samples))).astype(np.float32)


def speak(voice: str, text: str, speed: int, pitch: int, stretch: float = 1.0) -> Samples:
    """`text` at SAMPLE_RATE, its peak at 1, without the silence around it, made `stretch` times as long."""
    spoken = run_espeak("-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", text)
    with wave.open(io.BytesIO(spoken)) as wav:
        rate = wav.getframerate()
        # --stdout cannot seek back to put the true length in the header, so read by what has arrived.
        samples = np.frombuffer(wav.readframes(len(spoken) // 2), dtype="<i2").astype(np.float32)
    if not samples.any():
        raise SynthesisError(f"espeak-ng said nothing for '{text}' in voice {voice}")
    samples = resample(samples / np.abs(samples).max(), round(rate / stretch))
    loud = np.flatnonzero(np.abs(samples) > 0.01)
    return samples[loud[0] : loud[-1] + 1]


def noise(generator: np.random.Generator) -> Samples:
    """White or pink noise for a whole clip, of unit power."""
    white = generator.standard_normal(CLIP_SAMPLES)
    if generator.random() < 0.5:
        return white.astype(np.float32)
    spectrum = np.fft.rfft(white)
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    pink = np.fft.irfft(spectrum, CLIP_SAMPLES)
    return (pink / pink.std()).astype(np.float32)


def place(speech: Samples, snr_db: int, generator: np.random.Generator) -> Samples:
    """A clip with `speech` at a random offset and volume, in noise `snr_db` below its mean power."""
    speech = speech[:CLIP_SAMPLES]
    clip = snr_gain(speech, snr_db) * noise(generator)
    offset = int(generator.integers(0, CLIP_SAMPLES - len(speech) + 1))
    clip[offset : offset + len(speech)] += speech
    volume = 10.0 ** generator.uniform(-1.2, -0.05)
    return (clip * (volume / np.abs(clip).max())).astype(np.float32)


def snr_gain(speech: Samples, snr_db: int) -> np.float32:
    """The standard deviation of noise that lies `snr_db` below the mean power of `speech`."""
    return np.float32(np.sqrt(np.mean(speech**2)) * 10.0 ** (-snr_db / 20.0))


def make_clip(voice: str, label: str, snr_db: int, generator: np.random.Generator, stretch: float = 1.0) -> Samples:
    """One clip of `label`; of "none", one in six is silence or noise alone. For `stretch` see Split."""
    text = label
    if label == "none":
        kind = generator.random()
        if kind < 0.04:
            return np.zeros(CLIP_SAMPLES, np.float32)
        if kind < 1 / 6:
            return (10.0 ** generator.uniform(-3.5, -0.8) * noise(generator)).astype(np.float32)
        text = str(generator.choice(NEAR_MISSES if kind < 0.75 else WORDS))
    speed, pitch = int(generator.integers(110, 241)), int(generator.integers(20, 81))
    factor = stretch ** generator.uniform(-1.0, 1.0) if stretch != 1.0 else 1.0
    speech = speak(voice, text, speed, pitch, factor)
    while len(speech) > CLIP_SAMPLES and speed < 400:
        speed += 40
        speech = speak(voice, text, speed, pitch, factor)
    return place(speech, snr_db, generator)


def clips_of_voice(split_index: int, voice_index: int, seed: int) -> list[Clip]:
    """All the clips that one voice gives its split, as (samples, label index, SNR, voice)."""
    split = SPLITS[split_index]
    voice = split.voices[voice_index]
    generator = np.random.default_rng([seed, split_index, voice_index])
    clips = []
    for index, label in enumerate(LABELS):
        for _ in range(split.clips_per_label * (2 if label == "none" else 1)):
            snr_db = int(generator.choice(SNRS_DB))
            clip = make_clip(voice, label, snr_db, generator, split.stretch)
            clips.append((to_int16(clip), index, snr_db, voice))
    return clips


def make_split(split_index: int, seed: int, jobs: int) -> Clips:
    """All clips of a split; `jobs` voices are spoken at a time, which does not change the result."""
    with ThreadPoolExecutor(jobs) as pool:
        voices = range(len(SPLITS[split_index].voices))
        parts = pool.map(lambda voice: clips_of_voice(split_index, voice, seed), voices)
        clips = [clip for part in parts for clip in part]
    samples, labels, snrs_db, names = zip(*clips, strict=True)
    return Clips(np.stack(samples), np.array(labels), np.array(snrs_db), np.array(names))


def make_data(folder: Path, seed: int, jobs: int) -> None:
    """Write train.npz, validation.npz and test.npz into `folder`."""
    check_voices()
    folder.mkdir(parents=True, exist_ok=True)
    for index, split in enumerate(SPLITS):
        clips = make_split(index, seed, jobs)
        clips.save(folder / f"{split.name}.npz")
        print(f"{split.name}: {len(clips.labels)} clips of {len(split.voices)} voices", flush=True)


def make_wavs(folder: Path, seed: int) -> None:
    """Write the example WAV files: test voices again, but clips that are in no split."""
    check_voices()
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng([seed, len(SPLITS)])
    voices = generator.permutation(SPLITS[-1].voices)
    for label_index, label in enumerate(LABELS):
        for number in range(WAVS_PER_LABEL):
            voice = str(voices[label_index * WAVS_PER_LABEL + number])
            snr_db = int(generator.choice((10, 20, 30)))
            write_wav(folder / f"{label}_{number + 1:02}.wav", make_clip(voice, label, snr_db, generator))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=DEFAULT_DATA, help="folder for the data (default: build/speech)")
    parser.add_argument("--wavs", action="store_true", help="write the example WAV files instead of the data")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="how many espeak-ng processes to run at a time")
    options = parser.parse_args()
    try:
        if options.wavs:
            make_wavs(WAVS, options.seed)
        else:
            make_data(options.out, options.seed, options.jobs)
    except (SynthesisError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
