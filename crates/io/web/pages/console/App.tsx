import { useEffect, useState } from "react";
import { MeshPage } from "./MeshPage";
import { SignIn } from "./SignIn";

const STORED = "dialmesh.token";

/** Asks for a token, then shows the mesh. */
export function App() {
  const [token, setToken] = useState(() => sessionStorage.getItem(STORED));
  const [refused, setRefused] = useState(false);
  useEffect(() => {
    if (token) sessionStorage.setItem(STORED, token);
    else sessionStorage.removeItem(STORED);
  }, [token]);
  if (!token) {
    return (
      <SignIn
        refused={refused}
        onToken={(good) => {
          setRefused(false);
          setToken(good);
        }}
      />
    );
  }
  return (
    <MeshPage
      token={token}
      onLeave={(wasRefused) => {
        setRefused(wasRefused);
        setToken(null);
      }}
    />
  );
}
