import { HISTORY } from "./useMesh";

/** A small curve of the last values, drawn from zero. Its figures stand beside it as text. */
export function Sparkline({ values, height = 28 }: { values: number[]; height?: number }) {
  const width = 120;
  const top = Math.max(1, ...values) * 1.1;
  const x = (at: number) => ((HISTORY - values.length + at) / (HISTORY - 1)) * width;
  const y = (value: number) => height - 1.5 - (value / top) * (height - 3);
  const points = values.map((value, at) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`);
  const last = values.at(-1);
  return (
    <svg
      className="spark"
      aria-hidden="true"
      viewBox={`0 0 ${width} ${height}`}
      preserveAspectRatio="none"
      height={height}
    >
      {points.length > 1 && last !== undefined && (
        <>
          <polygon
            className="spark-area"
            points={`${x(0).toFixed(1)},${height} ${points.join(" ")} ${width},${height}`}
          />
          <polyline className="spark-line" points={points.join(" ")} />
        </>
      )}
    </svg>
  );
}
