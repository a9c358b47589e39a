"""How much is taken at once: told in the headers of every answer that counts, 429 beyond it."""

from dataclasses import dataclass

from ftops.engine.api.failures import ApiError


@dataclass(frozen=True, slots=True)
class Rate:
    """A limit on what is under way, and how much of it is taken."""

    limit: int
    taken: int
    retry_after_s: int  # when it makes sense to ask again

    def headers(self) -> dict[str, str]:
        """The API's rate limit headers, as they are before the request that asks."""
        return {
            "x-ratelimit-limit-requests": str(self.limit),
            "x-ratelimit-remaining-requests": str(max(0, self.limit - self.taken)),
            "x-ratelimit-reset-requests": f"{self.retry_after_s}s",
        }

    def check(self, what: str, advice: str = "Try again later") -> None:
        """429 when nothing more is taken."""
        if self.taken >= self.limit:
            message = f"{self.limit} {what} already: no more are taken now. {advice}."
            headers = {**self.headers(), "retry-after": str(self.retry_after_s)}
            raise ApiError(429, message, code="rate_limit_exceeded", headers=headers)
