import torch

from digits.augmentation import draw_shifts, shift


def spot(count: int) -> torch.Tensor:
    """Images that are dark but for one pixel in the middle, at (3, 3)."""
    images = torch.zeros(count, 7, 7, dtype=torch.uint8)
    images[:, 3, 3] = 200
    return images


def random_shift(images: torch.Tensor, pixels: int, seed: int) -> torch.Tensor:
    return shift(images, pixels, draw_shifts(len(images), pixels, torch.Generator().manual_seed(seed)))


def places(images: torch.Tensor) -> torch.Tensor:
    return images.nonzero()[:, 1:] - 3


def test_no_shift_returns_the_images():
    images = spot(3)
    assert random_shift(images, 0, 0) is images


def test_no_shift_draws_nothing():
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    assert draw_shifts(3, 0, generator).tolist() == [0, 0, 0]
    assert torch.equal(generator.get_state(), before)


def test_part_of_the_images_is_shifted_as_among_all():
    images, shifts = spot(50), draw_shifts(50, 2, torch.Generator().manual_seed(0))
    assert torch.equal(shift(images[20:], 2, shifts[20:]), shift(images, 2, shifts)[20:])


def test_every_shift_up_to_the_limit_occurs_as_often():
    moved = places(random_shift(spot(9000), 1, 0))
    shifts, counts = moved.unique(dim=0, return_counts=True)
    assert shifts.tolist() == [[row, column] for row in (-1, 0, 1) for column in (-1, 0, 1)]
    assert counts.min() > 880
    assert counts.max() < 1120


def test_image_is_moved_and_not_changed():
    images = torch.randint(1, 256, (50, 7, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    shifted = random_shift(images, 2, 0)
    assert shifted.dtype == torch.uint8
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    for before, after in zip(padded, shifted, strict=True):
        windows = [before[row : row + 7, column : column + 7] for row in range(5) for column in range(5)]
        assert any(torch.equal(after, window) for window in windows)


def test_shift_depends_on_the_seed_alone():
    first, again, other = (random_shift(spot(99), 1, seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
