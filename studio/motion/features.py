"""Features of a sound over time, by librosa: level, bands, brightness, pitch classes, onsets and beats."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from studio.common.text import short_repr
from studio.errors import StudioError
from studio.imaging.sound import read_sound

FEATURES = ("level", "bass", "mid", "treble", "centroid", "onset", "beat", *(f"chroma.{i}" for i in range(12)))
_EVENTS = ("onset", "beat")
_BANDS = {"bass": (20.0, 250.0), "mid": (250.0, 4000.0), "treble": (4000.0, 11025.0)}  # Hz
_DARKEST, _BRIGHTEST = 100.0, 8000.0  # Hz of the spectral centroid at 0 and at 1
MAX_SECONDS = 1200.0  # of sound that is analysed: half a gigabyte of spectrogram

_RATE = 22050
_HOP, _WINDOW = 256, 1024  # samples: 12 ms, a third of a frame at 30 a second, and 46 ms
_CHROMA_HOP, _CHROMA_WINDOW = 1024, 4096
_SILENCE = 1e-4  # amplitude below which there is nothing to be heard
_LOUD = 99  # percentile of a feature that becomes 1


def check_feature(name: Any) -> None:
    """Raises StudioError for a feature that there is not."""
    if not isinstance(name, str) or name not in FEATURES:
        raise StudioError(f"A sound has no feature {short_repr(name)}.", f"Choose one of {', '.join(FEATURES)}.")


@dataclass(frozen=True)
class AudioFeatures:
    """Features of a sound.

    seconds: its length.  tempo: beats a minute, 0 = none found.  onsets, beats: their times in seconds, ascending.
    curves: feature -> (interval in seconds, values (T,) in [0, 1]); the first value is at 0.
    """

    seconds: float
    tempo: float
    onsets: np.ndarray
    beats: np.ndarray
    curves: dict[str, tuple[float, np.ndarray]]

    def at(self, name: str, times: np.ndarray, decay: float = 0.2) -> np.ndarray:
        """Values (N,) in [0, 1] of a feature at times (N,) in seconds; 0 outside of the sound.

        decay: seconds in which an onset or a beat, which is 1 as it comes, fades to 1/e.
        """
        if name not in _EVENTS:
            interval, values = self.curves[name]
            return np.interp(times, np.arange(len(values)) * interval, values, left=0.0, right=0.0)
        events = self.onsets if name == "onset" else self.beats
        if not len(events):
            return np.zeros(len(times))
        last = np.searchsorted(events, times, side="right") - 1
        since = times - events[np.maximum(last, 0)]
        return np.where(last < 0, 0.0, np.exp(-np.maximum(since, 0) / decay))


def analyse(path: Path) -> AudioFeatures:
    """Features of a sound file, of its first 20 minutes. Raises StudioError if it cannot be read, or librosa is missing."""
    return features_of(read_sound(Path(path), _RATE, MAX_SECONDS))


def features_of(samples: np.ndarray) -> AudioFeatures:
    """Features of samples (N,) float32 at 22,050 a second."""
    try:
        import librosa
    except ImportError:
        raise StudioError("Following a sound needs the package librosa.", "Install it with: pip install librosa") from None
    seconds = len(samples) / _RATE
    # A window's length of silence: shorter sounds cannot be analysed, and the last onset needs something after it.
    samples = np.concatenate([samples, np.zeros(_CHROMA_WINDOW, np.float32)])
    spectrum = np.abs(librosa.stft(samples, n_fft=_WINDOW, hop_length=_HOP))
    level = librosa.feature.rms(S=spectrum, frame_length=_WINDOW)[0]
    frequencies = librosa.fft_frequencies(sr=_RATE, n_fft=_WINDOW)
    interval = _HOP / _RATE
    curves = {"level": (interval, _normalised(level))}
    for name, (low, high) in _BANDS.items():
        rows = (frequencies >= low) & (frequencies < high)
        curves[name] = (interval, _normalised(np.sqrt((spectrum[rows].astype(np.float64) ** 2).sum(axis=0)) / _WINDOW))
    centroid = librosa.feature.spectral_centroid(S=spectrum, freq=frequencies)[0]
    bright = np.log(np.maximum(centroid, _DARKEST) / _DARKEST) / np.log(_BRIGHTEST / _DARKEST)
    curves["centroid"] = (interval, np.where(level > _SILENCE, np.clip(bright, 0, 1), 0.0))
    power = np.abs(librosa.stft(samples, n_fft=_CHROMA_WINDOW, hop_length=_CHROMA_HOP)) ** 2
    chroma = librosa.feature.chroma_stft(S=power, sr=_RATE, tuning=0.0)
    heard = power.sum(axis=0) > (_SILENCE * _CHROMA_WINDOW) ** 2
    for i, row in enumerate(chroma):
        curves[f"chroma.{i}"] = (_CHROMA_HOP / _RATE, np.where(heard, np.clip(row, 0, 1), 0.0))
    if level.max() <= _SILENCE:
        return AudioFeatures(seconds, 0.0, np.empty(0), np.empty(0), curves)
    strength = librosa.onset.onset_strength(y=samples, sr=_RATE, n_fft=_WINDOW, hop_length=_HOP)
    onsets = librosa.onset.onset_detect(onset_envelope=strength, sr=_RATE, hop_length=_HOP, units="time")
    tempo, beats = librosa.beat.beat_track(onset_envelope=strength, sr=_RATE, hop_length=_HOP, units="time", trim=False)
    return AudioFeatures(seconds, float(np.ravel(tempo)[0]), np.asarray(onsets, float), np.asarray(beats, float), curves)


def _normalised(values: np.ndarray) -> np.ndarray:
    """Values (T,) from 0 on, with their loud parts at 1. What is silent throughout stays 0."""
    loud = float(np.percentile(values, _LOUD)) if len(values) else 0.0
    loud = loud if loud > _SILENCE else float(values.max(initial=0.0))  # a few clicks in silence
    return np.clip(values / loud, 0, 1).astype(np.float64) if loud > _SILENCE / 10 else np.zeros(len(values))
