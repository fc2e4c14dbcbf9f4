import { describe, expect, it } from "vitest";
import { catalogues, format, preferred, type Key, type Language } from "./words";

const languages = Object.keys(catalogues) as Language[];
const names = (text: string) =>
  [...new Set([...text.matchAll(/\{(\w+)[,}]/g)].map((m) => m[1]))].sort();

describe("catalogues", () => {
  it("have the same keys and the same values in each text", () => {
    const keys = Object.keys(catalogues.en).sort();
    for (const language of languages) {
      expect(Object.keys(catalogues[language]).sort()).toEqual(keys);
      for (const key of keys as Key[]) {
        expect(catalogues[language][key].trim(), `${language} ${key}`).not.toBe("");
        expect(names(catalogues[language][key]), `${language} ${key}`).toEqual(
          names(catalogues.en[key]),
        );
      }
    }
  });
});

describe("format", () => {
  it("puts values and plural forms in", () => {
    expect(format("en", "{n} s", { n: 1234 })).toBe("1,234 s");
    const text = catalogues.en["total.citiesDetail"];
    expect(format("en", text, { campaigns: 1 })).toBe("1 campaign running");
    expect(format("en", text, { campaigns: 3 })).toBe("3 campaigns running");
    const chinese = catalogues["zh-CN"]["total.citiesDetail"];
    expect(format("zh-CN", chinese, { campaigns: 3 })).toBe("运行中的活动 3 个");
  });
});

describe("preferred", () => {
  it("takes the first language that there is", () => {
    expect(preferred(["fr", "zh-TW", "en"])).toBe("zh-CN");
    expect(preferred(["de"])).toBe("en");
  });
});
