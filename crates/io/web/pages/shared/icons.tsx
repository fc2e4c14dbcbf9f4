// Small line icons; always beside a text, so they are hidden from screen readers.

const paths = {
  check: "M5 12.5 10 17 19 7.5",
  cut: "M4 12h4M16 12h4M9.5 8.5l5 7M14.5 8.5l-5 7",
  ghost: "M12 8v5M12 16.5v.01M10.3 4.5 3 18a2 2 0 0 0 1.8 3h14.4a2 2 0 0 0 1.8-3L13.7 4.5a2 2 0 0 0-3.4 0Z",
  fence: "M6 4v16M12 4v16M18 4v16M3 9h18M3 15h18",
  phone: "M5 4h4l2 5-2.5 1.5a11 11 0 0 0 5 5L15 13l5 2v4a2 2 0 0 1-2 2A16 16 0 0 1 3 6a2 2 0 0 1 2-2Z",
  headset: "M4 14v-2a8 8 0 0 1 16 0v2M4 14h3v5H5a1 1 0 0 1-1-1ZM20 14h-3v5h2a1 1 0 0 0 1-1ZM18 19a3 3 0 0 1-3 2h-2",
  pencil: "M4 20h4L19 9a2.8 2.8 0 0 0-4-4L4 16v4ZM13 7l4 4",
  pause: "M9 5v14M15 5v14",
  bookmark: "M7 4h10v17l-5-4-5 4V4Z",
  down: "M6 6l12 12M18 6 6 18",
  off: "M12 4v8M7 6.5a8 8 0 1 0 10 0",
  question: "M9 9a3 3 0 1 1 4.2 2.8c-.8.4-1.2 1-1.2 2M12 17.5v.01",
  clock: "M12 7v5l3 2M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18Z",
  pulse: "M3 12h4l3-7 4 14 3-7h4",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8ZM12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5Z",
  leave: "M10 4H5v16h5M14 8l4 4-4 4M18 12H9",
  queue: "M4 6h16M4 12h10M4 18h6",
  mic: "M12 3a3 3 0 0 1 3 3v5a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3ZM6 11a6 6 0 0 0 12 0M12 17v4",
  micOff: "M15 8V6a3 3 0 0 0-5.8-1M9 9v2a3 3 0 0 0 4.5 2.6M6 11a6 6 0 0 0 9.5 4.9M18 11v.5M12 17v4M4 4l16 16",
  bell: "M6 16V11a6 6 0 0 1 12 0v5l1.5 2h-15L6 16ZM10 20.5a2 2 0 0 0 4 0",
  bellOff: "M8 6.5A6 6 0 0 1 18 11v3M6 9.5V16l-1.5 2H17M10 20.5a2 2 0 0 0 4 0M4 4l16 16",
  keyboard: "M3 6.5h18v11H3zM7 10v.01M11 10v.01M15 10v.01M17.5 10v.01M8 14h8",
  keypad: "M6 5v.01M12 5v.01M18 5v.01M6 10v.01M12 10v.01M18 10v.01M6 15v.01M12 15v.01M18 15v.01M12 20v.01",
  hangUp: "M3.5 14.5c5-5 12-5 17 0l-2.2 2.4-3.6-1.6v-2.6a9 9 0 0 0-5.4 0v2.6l-3.6 1.6-2.2-2.4Z",
  record: "M12 5a7 7 0 1 0 0 14 7 7 0 0 0 0-14ZM12 11a1 1 0 1 0 0 2 1 1 0 0 0 0-2Z",
  person: "M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8ZM4.5 20.5a7.5 7.5 0 0 1 15 0",
} as const;

export type IconName = keyof typeof paths;

export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg
      aria-hidden="true"
      focusable="false"
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      strokeWidth={2}
      strokeLinecap="round"
      strokeLinejoin="round"
    >
      <path d={paths[name]} />
    </svg>
  );
}
