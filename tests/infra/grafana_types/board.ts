// What a board's JSON has to be assignable to: Grafana's own types, those of each panel's plugin among them.
import type { AnnotationQuery, Dashboard, Panel, RowPanel, VariableModel } from '@grafana/schema';
import type { Options as BarGauge } from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type { Options as Stat } from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type {
  FieldConfig as Lines,
  Options as TimeSeries,
} from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

// JSON has the values of an enumeration, never its members.
type Json<T> = T extends string
  ? `${T}`
  : T extends readonly (infer One)[]
    ? Json<One>[]
    : T extends object
      ? { [Key in keyof T]: Json<T[Key]> }
      : T;

type Fields = NonNullable<Json<Panel>['fieldConfig']>;

// Grafana completes a panel's options, and its fields' custom ones, from the plugin's defaults: what is there has to be right.
type Of<Kind extends string, Options, Custom> = Omit<Json<Panel>, 'type' | 'options' | 'fieldConfig'> & {
  type: Kind;
  options: Partial<Json<Options>>;
  fieldConfig: Omit<Fields, 'defaults'> & {
    defaults: Omit<Fields['defaults'], 'custom'> & { custom?: Partial<Json<Custom>> };
  };
};

// Beyond Grafana's types, and named one by one: what its SDK writes though Grafana no longer reads it (`style`; an id and an
// interval's keys in every variable), and the key of an annotation that is the data source's own (`expr`, Prometheus).
export type Board = Omit<Json<Dashboard>, 'panels' | 'annotations' | 'templating'> & {
  panels: (
    | Of<'timeseries', TimeSeries, Lines>
    | Of<'stat', Stat, Record<string, never>>
    | Of<'bargauge', BarGauge, Record<string, never>>
    | (Omit<Json<RowPanel>, 'panels' | 'type'> & { type: 'row'; panels: never[] })
  )[];
  annotations: { list?: (Json<AnnotationQuery> & { expr: string })[] };
  style: 'dark';
  templating: { list: (Json<VariableModel> & { id: string; auto: false; auto_min: string; auto_count: number })[] };
};
