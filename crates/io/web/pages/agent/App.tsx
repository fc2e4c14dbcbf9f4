import { useEffect, useState } from "react";
import { Desk } from "./Desk";
import { clearDrafts } from "./draft";
import { Session, type Voice } from "./session";
import { SignIn } from "./SignIn";

/** The token: this tab only, gone when it is closed. */
const TOKEN = "dialmesh.agent.token";
/** How the agent speaks: a habit of this computer, no secret. */
const VOICE = "dialmesh.agent.voice";

function keptVoice(): Voice {
  const kept = localStorage.getItem(VOICE);
  return kept?.startsWith("browser:")
    ? { by: "browser", device: kept.slice("browser:".length) }
    : { by: "phone" };
}

/** Asks for a token, then shows the desk. */
export function App() {
  const [token, setToken] = useState(() => sessionStorage.getItem(TOKEN));
  const [voice, setVoice] = useState(keptVoice);
  const [refused, setRefused] = useState(false);
  const [session, setSession] = useState<Session>();
  useEffect(() => {
    if (!token) return undefined;
    const opened = new Session(token, voice);
    setSession(opened);
    return () => {
      opened.stop();
      setSession(undefined);
    };
  }, [token, voice]);
  const speakBy = (chosen: Voice) => {
    localStorage.setItem(VOICE, chosen.by === "phone" ? "phone" : `browser:${chosen.device}`);
    setVoice(chosen);
  };
  if (!token) {
    return (
      <SignIn
        refused={refused}
        voice={voice}
        onSignIn={(good, chosen) => {
          sessionStorage.setItem(TOKEN, good);
          setRefused(false);
          speakBy(chosen);
          setToken(good);
        }}
      />
    );
  }
  if (!session) return null;
  return (
    <Desk
      session={session}
      onPhone={() => speakBy({ by: "phone" })}
      onLeave={(wasRefused) => {
        sessionStorage.removeItem(TOKEN);
        // Notes hold personal data: none is left for whoever sits down next.
        clearDrafts(sessionStorage, []);
        setRefused(wasRefused);
        setToken(null);
      }}
    />
  );
}
