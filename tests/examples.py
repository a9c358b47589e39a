"""The number of examples that property tests try: few by default, more with
`pytest --hypothesis-profile=thorough`."""

from hypothesis import settings

_REPEATABLE = 100  # examples in the profile that is loaded by default


def register_profiles() -> None:
    """`repeatable` tries the same examples every time, `thorough` fifty times as many new ones."""
    settings.register_profile(
        "repeatable", derandomize=True, deadline=None, max_examples=_REPEATABLE
    )
    settings.register_profile("thorough", deadline=None, max_examples=50 * _REPEATABLE)
    settings.load_profile("repeatable")


def scale_examples(count: int) -> int:
    """`count` in the default profile, and in proportion more in a larger one."""
    profile = settings.get_profile(settings.get_current_profile_name())
    return max(1, count * profile.max_examples // _REPEATABLE)


def examples(count: int) -> settings:
    """Settings for an expensive test that tries only `count` examples by default."""
    return settings(max_examples=scale_examples(count))
