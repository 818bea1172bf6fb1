"""The measures, as methods of stores and frames. What every number means is told in the documentation's pages."""

from __future__ import annotations

import datetime as dt
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

from ctm import _call, _errors
from ctm._native import ffi, lib
from ctm._result import Result
from ctm._steps import Step

Time = str | int | dt.datetime | dt.date | None
Duration = str | int | dt.timedelta | None
By = str | Sequence[str] | None


class Measures:
    """What a :class:`Store` and a :class:`Frame` have in common: the measures.

    Every measure takes, beside its own, these keyword arguments:

    where : str
        Condition in SQL's expression syntax over channel, stage, touchpoint, type, department, survey, segment, value,
        score, about, case, time, attributes and customer.x; interactions that do not meet it are removed first.
    since, until : datetime, date, str or int
        Bounds (inclusive, exclusive) of the answer, the start, step 1 or the interaction, by measure.
    as_of : datetime, date, str or int
        The moment that decides what is observable; the last interaction unless said.
    range : {"measure", "all"}
        ``"all"``: since and until bound every interaction.
    by : str or list of str
        Groups.
    period : {"hour", "day", "week", "month", "quarter", "year"}
        Length of a period.
    time_zone : str
        IANA name of the zone that periods follow, "UTC" unless said.
    week_start : str or int
        First day of a week, "monday" unless said.
    fill : bool
        Empty periods become rows.
    confidence : float
        Of the limits ``low`` and ``high``, 0.95 unless said.
    min_customers : int
        Rows of fewer customers are left out.
    workers : int
        Threads, one a processor unless said.
    identities_as_of : datetime, date, str or int
        Who was whom, as the store had been told by then; as it is told now unless said. Frames have no such dates.
    progress : callable or bool
        Called as ``progress(stage, done, total)``; return False to stop. True: a line on stderr.
    """

    _pointer: Any

    def _open(self) -> Any:
        raise NotImplementedError

    def ask(self, measure: str, /, *, progress: _call.Progress | bool | None = None, **options: Any) -> Result:
        """Any measure by its name, with its options as keywords.

        The methods named as the measures are this with the options spelled out.
        """
        watch = _call.Watch(progress, self)
        out = ffi.new("ctm_result **")
        store = self._open()
        status = lib.ctm_ask_progress(
            store, measure.encode(), _call.options(**options), lib._ctm_progress, watch.handle, out
        )
        if status != lib.CTM_OK:
            self._raise(status, watch)
        result = Result(out[0])
        _call.interrupted(watch)
        return result

    def _raise(self, status: int, watch: _call.Watch | None = None) -> None:
        self._open()  # another thread may have closed it
        error = ffi.new("ctm_error *")
        lib.ctm_last_error(self._pointer, error)
        _call.raise_error(status, error, watch)

    def nps(
        self,
        *,
        by: By = None,
        period: str | None = None,
        survey: str | Sequence[str] | None = None,
        which: str | None = None,
        interval: str | None = None,
        where: str | None = None,
        since: Time = None,
        until: Time = None,
        **selection: Any,
    ) -> Result:
        """Net Promoter Score: 100 x (promoters - detractors) / responses; 9-10 promote, 0-6 detract.

        Parameters
        ----------
        survey : str or list of str, optional
            Only these surveys, pooled. All of kind ``nps`` unless said, one row each when there are several.
        which : {"all", "latest"}, optional
            Every answer, or each customer's latest per survey and period.
        interval : {"score", "wald", "adjusted"}, optional
            Method of ``low`` and ``high``: Tango's score interval, Wald, or Bonett and Price's.
        by, period, where, since, until, **selection
            See :class:`Measures`.

        Returns
        -------
        Result
            by…, period, nps, low, high, deff, responses, customers, promoters, passives, detractors.

        References
        ----------
        Reichheld, F. F. (2003). The one number you need to grow. Harvard Business Review 81(12).
        Tango, T. (1998). Equivalence test and confidence interval for the difference in proportions for the
        paired-sample design. Statistics in Medicine 17, 891-908.
        """
        return self.ask("nps", by=by, period=period, survey=survey, which=which, interval=interval, where=where,
                        since=since, until=until, **selection)  # fmt: skip

    def csat(
        self,
        *,
        by: By = None,
        period: str | None = None,
        survey: str | Sequence[str] | None = None,
        which: str | None = None,
        interval: str | None = None,
        where: str | None = None,
        since: Time = None,
        until: Time = None,
        **selection: Any,
    ) -> Result:
        """Customer satisfaction: share of answers in the top boxes, 0 to 1, with the mean score.

        Parameters
        ----------
        survey, which
            As in :meth:`nps`, of kind ``csat``.
        interval : {"score", "wald", "adjusted"}, optional
            Wilson, Wald, or Agresti and Coull.
        by, period, where, since, until, **selection
            See :class:`Measures`.

        Returns
        -------
        Result
            by…, period, csat, low, high, deff, responses, customers, mean, mean_low, mean_high.

        References
        ----------
        Wilson, E. B. (1927). Probable inference, the law of succession, and statistical inference. JASA 22, 209-212.
        """
        return self.ask("csat", by=by, period=period, survey=survey, which=which, interval=interval, where=where,
                        since=since, until=until, **selection)  # fmt: skip

    def ces(
        self,
        *,
        by: By = None,
        period: str | None = None,
        survey: str | Sequence[str] | None = None,
        which: str | None = None,
        where: str | None = None,
        since: Time = None,
        until: Time = None,
        **selection: Any,
    ) -> Result:
        """Customer Effort Score: mean answer, with Student's t limits clipped to the scale.

        Parameters
        ----------
        survey, which
            As in :meth:`nps`, of kind ``ces``.
        by, period, where, since, until, **selection
            See :class:`Measures`.

        Returns
        -------
        Result
            by…, period, ces, low, high, deff, responses, customers.

        References
        ----------
        Dixon, M., Freeman, K., Toman, N. (2010). Stop trying to delight your customers. Harvard Business Review 88(7).
        """
        return self.ask("ces", by=by, period=period, survey=survey, which=which, where=where, since=since, until=until,
                        **selection)  # fmt: skip

    def retention(
        self,
        *,
        period: str | None = None,
        periods: int | None = None,
        cohort_period: str | None = None,
        clock: str | None = None,
        mode: str | None = None,
        zero: str | None = None,
        start: str | None = None,
        returning: str | None = None,
        by: By = None,
        where: str | None = None,
        since: Time = None,
        until: Time = None,
        **selection: Any,
    ) -> Result:
        """Who came back, by the period of the first interaction.

        Parameters
        ----------
        period : str, optional
            Unit of the offsets, "week" unless said.
        periods : int, optional
            Offsets 0 to periods - 1; 12 unless said.
        cohort_period : str, optional
            Period that makes a cohort; the same as ``period`` unless said.
        clock : {"calendar", "rolling"}, optional
            Offsets are calendar periods, or run from each customer's own start.
        mode : {"on", "on_or_after"}, optional
            Returned in the period, or in it or later.
        zero : {"after", "start"}, optional
            What offset 0 counts when start and returning differ.
        start, returning : str, optional
            Conditions that an interaction must meet to start, and to count as a return.
        by, where, since, until, **selection
            See :class:`Measures`.

        Returns
        -------
        Result
            by…, cohort, offset, cohort_size, customers, observable, returned, retention_rate, low, high, complete; rows
            with cohort None sum the complete cells.
        """
        return self.ask("retention", period=period, periods=periods, cohort_period=cohort_period, clock=clock,
                        mode=mode, zero=zero, start=start, returning=returning, by=by, where=where, since=since,
                        until=until, **selection)  # fmt: skip

    def funnel(
        self,
        steps: str | Step | Sequence[str | Sequence[str] | Step],
        *,
        within: Duration = None,
        step_within: Duration = None,
        order: str | None = None,
        entry: str | None = None,
        attribute_at: str | None = None,
        quantiles: Sequence[float] | None = None,
        exclude: Sequence[object] | None = None,
        dialect: str | None = None,
        by: By = None,
        where: str | None = None,
        since: Time = None,
        until: Time = None,
        **selection: Any,
    ) -> Result:
        """How many customers went how far through the steps, in order, and how long it took.

        Parameters
        ----------
        steps : list
            Touchpoints; a list stands for any of its members; :func:`step` for more. A text or a :func:`step` alone is
            the only step.
        within : str, int or timedelta, optional
            All steps within this time of step 1, inclusive: ``"14d"``, microseconds or a timedelta.
        step_within : str, int or timedelta, optional
            Each step within this time of the step before, inclusive.
        order : {"ordered", "strict"}, optional
            What may lie between two steps: anything, or nothing.
        entry : {"any", "first"}, optional
            Any interaction that matches step 1 may begin, or only the customer's first.
        attribute_at : {"first", "last", "step:N", "each"}, optional
            Whose value of an interaction's attribute in ``by`` counts.
        quantiles : list of float, optional
            Of the seconds from the step before; 0.5 and 0.9 unless said.
        exclude, dialect
            Steps that must not lie between, and another tool's way of counting: not there yet, refused unless empty.
        by, where, since, until, **selection
            See :class:`Measures`.

        Returns
        -------
        Result
            by…, step, name, customers, conversion_rate, low, high, step_conversion_rate, step_low, step_high,
            mean_seconds, p50_seconds, p90_seconds, still_open.
        """
        for name, value in (("exclude", exclude), ("dialect", dialect)):
            if value:
                raise _errors.make(lib.CTM_UNSUPPORTED, f"{name}={value!r}: a funnel cannot do this yet")
        listed: list[Any] = [steps] if isinstance(steps, (str, Mapping, Step)) else list(steps)
        _call.durations({"within": within, "step_within": step_within, "steps": listed})
        return self.ask("funnel", steps=listed, within=within, step_within=step_within, order=order,
                        entry=entry, attribute_at=attribute_at, quantiles=quantiles, by=by, where=where, since=since,
                        until=until, **selection)  # fmt: skip

    def conversion(
        self,
        journey: str,
        *,
        within: Duration = None,
        step_within: Duration = None,
        order: str | None = None,
        entry: str | None = None,
        attribute_at: str | None = None,
        quantiles: Sequence[float] | None = None,
        by: By = None,
        where: str | None = None,
        since: Time = None,
        until: Time = None,
        **selection: Any,
    ) -> Result:
        """Conversion per stage: the funnel over a journey's stages.

        Parameters
        ----------
        journey : str
            Name of a defined journey. A stage's touchpoints are the journey's own list, else those whose stage it is.
        within, step_within, order, entry, attribute_at, quantiles
            As in :meth:`funnel`; ``within`` is the journey's unless said.
        by, where, since, until, **selection
            See :class:`Measures`.

        Returns
        -------
        Result
            The columns of :meth:`funnel`, and dropped.
        """
        _call.durations({"within": within, "step_within": step_within})
        return self.ask("conversion", journey=journey, within=within, step_within=step_within, order=order,
                        entry=entry, attribute_at=attribute_at, quantiles=quantiles, by=by, where=where, since=since,
                        until=until, **selection)  # fmt: skip

    def frequency(
        self,
        *,
        by: By = None,
        period: str | None = None,
        where: str | None = None,
        since: Time = None,
        until: Time = None,
        **selection: Any,
    ) -> Result:
        """How often, by how many customers, worth what.

        Parameters
        ----------
        by, period, where, since, until, **selection
            See :class:`Measures`.

        Returns
        -------
        Result
            by…, period, interactions, customers, reach, per_customer, p50, p90, value.
        """
        return self.ask("frequency", by=by, period=period, where=where, since=since, until=until, **selection)

    def timeline(
        self,
        customer: str | int,
        *,
        kind: str | None = None,
        limit: int | None = None,
        where: str | None = None,
        since: Time = None,
        until: Time = None,
        **selection: Any,
    ) -> Result:
        """One customer's interactions, newest last.

        Parameters
        ----------
        customer : str or int
            Value of an identity of the customer.
        kind : str, optional
            Kind of that identity, "id" unless said.
        limit : int, optional
            Only the newest that many.
        where, since, until, **selection
            See :class:`Measures`.

        Returns
        -------
        Result
            time, touchpoint, channel, stage, value, survey, score, about, text, case, attributes…
        """
        if isinstance(customer, (bool, bytes, bytearray, memoryview)) or type(customer).__name__ == "bool_":
            raise _errors.make(lib.CTM_TYPE, f"customer={customer!r} is no customer: give an id")
        if isinstance(customer, numbers.Integral):  # as when it was recorded
            customer = str(customer)
        return self.ask("timeline", customer=customer, kind=kind, limit=limit, where=where, since=since, until=until,
                        **selection)  # fmt: skip
